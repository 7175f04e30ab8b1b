"""Metrics of several processes, as one page."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streamguard.streams import shared_metrics


def process(folder, place: str, code: str) -> subprocess.CompletedProcess:
    """A process in a place, that counts what `code` says and is then killed without any farewell."""
    script = f"""
        import os, signal
        from streamguard.streams.shared_metrics import share_metrics
        share_metrics({str(folder)!r}, {place!r})
        from streamguard.metrics import LaneMetrics
        lane = LaneMetrics("orders")
        {code}
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=False, capture_output=True, text=True
    )
    assert done.returncode == -9, done.stderr
    return done


def page(folder) -> dict[str, float]:
    """The samples of the page that do not count time."""
    text, _ = shared_metrics.put_together(str(folder))
    families = text_string_to_metric_families(text.decode())
    return {
        sample.name: sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


def test_counters_add_up_and_go_on_after_a_kill(tmp_path):
    process(tmp_path, "0", "lane.records_in.inc(5); lane.guard_seconds.observe(0.25)")
    process(tmp_path, "1", "lane.records_in.inc(7); lane.guard_seconds.observe(0.5)")
    assert page(tmp_path)["streamguard_records_in_total"] == 12
    process(tmp_path, "0", "lane.records_in.inc(100)")
    seen = page(tmp_path)
    assert seen["streamguard_records_in_total"] == 112
    assert seen["streamguard_guard_seconds_count"] == 2
    assert seen["streamguard_guard_seconds_sum"] == 0.75


def test_gauges_of_a_process_that_is_gone_are_gone(tmp_path):
    process(tmp_path, "0", "lane.running.set(1); lane.lag.set(10)")
    process(tmp_path, "1", "lane.running.set(1); lane.lag.set(20)")
    assert page(tmp_path)["streamguard_lag_records"] == 30
    shared_metrics.end_of("1", str(tmp_path))
    seen = page(tmp_path)
    assert seen["streamguard_lane_running"] == 1
    assert seen["streamguard_lag_records"] == 10


def test_restarts_leave_no_files_behind(tmp_path):
    process(tmp_path, "0", "lane.records_in.inc()")
    before = sorted(tmp_path.iterdir())
    for _ in range(3):
        process(tmp_path, "0", "lane.records_in.inc()")
    assert sorted(tmp_path.iterdir()) == before
    assert page(tmp_path)["streamguard_records_in_total"] == 4


def test_it_must_be_said_before_there_are_metrics(tmp_path):
    import streamguard.metrics  # noqa: F401

    with pytest.raises(RuntimeError):
        shared_metrics.share_metrics(str(tmp_path), "0")


def test_the_folder_goes_with_its_process_and_what_killed_ones_left_with_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(shared_metrics.tempfile, "gettempdir", lambda: str(tmp_path))
    gone = tmp_path / f"streamguard-metrics-{2**22 + 1}-x"  # above any process id
    mine = tmp_path / f"streamguard-metrics-{os.getpid()}-x"
    other = tmp_path / "streamguard-metrics-notes"
    for folder in (gone, mine, other):
        folder.mkdir()
    with shared_metrics.metrics_folder() as made:
        assert Path(made).is_dir()
        assert sorted(tmp_path.iterdir()) == sorted([mine, other, Path(made)])
    assert not Path(made).exists()
