"""The arithmetic behind the figures of scripts/bench."""

import sys
from collections.abc import Iterator

import orjson
import pytest

from benchmarks import page
from benchmarks.__main__ import parse
from benchmarks.guards import reference_guard
from benchmarks.latency import percentiles
from benchmarks.processes import Ended, Program, started
from benchmarks.ratios import Ratio, ratios
from benchmarks.records import POLICY, PROTECTED, orders
from benchmarks.report import as_json
from benchmarks.series import Series, columns
from benchmarks.soak import Memory
from benchmarks.window import Stalled, watch
from streamguard.guard.batch import Batch
from streamguard.policy.loader import load_policy


def test_a_ratio_is_taken_round_by_round_and_its_median_is_shown():
    # Everything was half as fast in the second round: as a ratio, that is nothing.
    ours, theirs = Series((10.0, 20.0, 10.0)), Series((250.0, 500.0, 240.0))
    assert theirs.over(ours).values == (25.0, 25.0, 24.0)
    assert theirs.over(ours).median == 25.0


def test_rounds_of_named_figures_become_one_series_per_name():
    assert columns([{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.0}]) == {
        "a": Series((1.0, 3.0)),
        "b": Series((2.0, 4.0)),
    }


@pytest.mark.parametrize(
    ("bound", "median", "met"), [("≥", 25.0, True), ("≥", 24.9, False), ("≤", 25.0, True), ("≤", 25.1, False)]
)
def test_a_ratio_is_held_against_its_target(bound: str, median: float, met: bool):
    assert Ratio("ours", Series((median,)), bound, 25).met is met


def test_only_what_was_measured_has_ratios():
    measured = {"guard": {"over_loads": Series((7.0,))}}
    assert [ratio.series.median for ratio in ratios(measured)] == [7.0]
    assert list(ratios({})) == []


def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed():
    milliseconds = percentiles([number / 1000 for number in range(1, 1001)])
    assert milliseconds == pytest.approx({"p50": 500, "p99": 990, "p99.9": 999, "max": 1000})
    assert percentiles([0.003]) == pytest.approx({"p50": 3, "p99": 3, "p99.9": 3, "max": 3})


def test_the_slope_of_memory_leaves_out_what_fills_up_at_first():
    grown = [(100_000, 50.0), (200_000, 90.0)]
    flat = [(number, 100.0) for number in range(800_000, 2_000_001, 100_000)]
    growing = [(number, 100.0 + 3 * number / 1e6) for number in range(800_000, 2_000_001, 100_000)]
    assert Memory(grown + flat).slope == pytest.approx(0)
    assert Memory(grown + growing).slope == pytest.approx(3)


def test_results_are_json():
    results = {"ratios": [Ratio("ours", Series((1.0, 2.0)), "≥", 1)], "soak": Memory([(1, 2.0), (2, 2.0)])}
    written = orjson.loads(orjson.dumps(as_json(results)))
    assert written["ratios"][0]["median"] == 1.5
    assert written["soak"]["samples"] == [[1, 2.0], [2, 2.0]]


def test_results_are_written_into_their_place_on_the_page(tmp_path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "performance.md"
    file.write_text("before\n<!-- results -->\nold figures\n<!-- /results -->\nafter\n")
    monkeypatch.setattr("benchmarks.page.PAGE", file)
    machine = {"cores": 2, "cpu": "a processor", "python": "3.11", "librdkafka": "2.12"}
    times = {"started_at": "2026-01-31T12:00:00+00:00", "load_before": 0.5, "load_after": 1.5}
    ratio = Ratio("ours", Series((30.0, 20.0, 40.0)), "≥", 25)
    page.write({"machine": machine, "ratios": [ratio], **times})
    text = file.read_text()
    assert "| ours | 30.00 | 20.00 – 40.00 | ≥ 25 | met |" in text
    assert "2 cores of a processor" in text
    assert "old figures" not in text
    assert text.startswith("before\n<!-- results -->\n")
    assert text.endswith("<!-- /results -->\nafter\n")


def test_the_page_has_a_place_for_results():
    assert page.PAGE.read_text("utf-8").count("results -->\n") == 2


def test_the_reference_orders_are_the_same_everywhere_and_obey_their_policy():
    values = orders(1000)
    assert values == orders(1000)
    assert 495 < sum(map(len, values)) / len(values) < 515
    batch = Batch("orders", list(values))
    reference_guard().process(batch)
    assert not batch.findings
    assert set(load_policy(POLICY).policy.fields) == set(PROTECTED)


def test_an_unknown_part_is_wrong_use(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exit_:
        parse(["--only", "guard,speed"])
    assert exit_.value.code == 2
    assert "unknown: speed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([], ["guard", "tokens", "e2e", "latency", "peers"]),
        (["--only", "guard"], ["guard"]),
        (["--soak"], []),
        (["--soak", "--only", "guard"], ["guard"]),
    ],
)
def test_what_is_measured(arguments: list[str], parts: list[str]):
    assert parse(arguments).only == parts


@pytest.fixture
def busy(tmp_path) -> Iterator[Program]:
    with started([sys.executable, "-c", "while True: pass"], tmp_path / "log") as program:
        yield program


def test_a_window_counts_what_was_committed_between_its_two_ends(busy: Program):
    # The first 10 % are warm-up; at the end of the topic the program may have waited, so that commit does not count.
    commits = iter([0, 50, 100, 400, 900, 1000, 1000])
    seen: list[int] = []

    def committed() -> int:
        while len(seen) > 2 and busy.cpu() <= 0.02 * len(seen):
            pass  # until it has used CPU that can be told from none
        seen.append(next(commits))
        return seen[-1]

    speed = watch(busy, committed, total=1000, seconds=60)
    assert speed.rate > 0
    assert speed.cpu_us > 0
    assert seen == [0, 50, 100, 400, 900, 1000]


def test_a_program_that_ends_is_reported_with_what_it_said(tmp_path):
    with (
        started([sys.executable, "-c", "raise SystemExit('no broker here')"], tmp_path / "log") as program,
        pytest.raises(Ended, match="no broker here"),
    ):
        watch(program, lambda: 0, total=1000, seconds=60)


def test_a_program_that_commits_nothing_has_stalled(busy: Program, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("benchmarks.window.START_WITHIN", 0.05)
    with pytest.raises(Stalled, match="nothing committed"):
        watch(busy, lambda: 0, total=1000, seconds=60)
