"""`streamguard run --processes N`: a parent and its children, on a real broker."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.test_run import Site, make_site  # noqa: F401 - a fixture
from tests.service import Running, is_alive, send
from tests.waiting import until


@pytest.fixture
def site(make_site) -> Site:  # noqa: F811
    return make_site(partitions=4)


def slots(running: Running) -> list[dict]:
    return json.loads(running.get("/health/ready")[1])["slots"]


def pids(running: Running) -> list[int]:
    return [slot["pid"] for slot in slots(running)]


def counters(running: Running) -> dict[str, float]:
    """Every counter's value, and those of histograms that count."""
    families = text_string_to_metric_families(running.get("/metrics")[1].decode())
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in families
        if family.type in ("counter", "histogram")
        for sample in family.samples
    }


def gauge(running: Running, name: str) -> float:
    families = text_string_to_metric_families(running.get("/metrics")[1].decode())
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


def records(site: Site, start: int, count: int = 40) -> None:
    site.send(*({"n": n, "who": f"person {n}"} for n in range(start, start + count)))


def test_children_share_the_work_and_one_that_is_killed_comes_back(site):
    with site.folder.running("--slot", "guard", "--processes", "2") as running:
        until(
            lambda: sum(len(slot["lanes"][0]["partitions"]) for slot in slots(running)) == 4,
            what="all partitions",
        )
        told = slots(running)
        assert [slot["slot"] for slot in told] == ["guard-0", "guard-1"]
        assert sorted(pids(running)) == sorted(running.children())
        assert all(slot["restarts"] == 0 for slot in told)
        records(site, 0)
        site.read("clean", 40)
        until(lambda: gauge(running, "streamguard_lag_records") == 0, what="all is committed")
        assert gauge(running, "streamguard_lane_running") == 2
        before = counters(running)
        assert before["streamguard_records_in_total[('policy', 'people')]"] == 40

        victim = pids(running)[0]
        send(victim, signal.SIGKILL)
        until(lambda: slots(running)[0]["restarts"] == 1, what="its place is known to be empty")
        # Until it is back nothing that the dead process said of itself is repeated.
        if slots(running)[0]["state"] != "running":
            assert running.get("/health/ready")[0] == 503
            assert gauge(running, "streamguard_lane_running") == 1
        running.until_ready()
        assert "parent.child_ended slot=guard exit_code=-9" in running.said().replace(
            "slot=guard-0", "slot=guard"
        )
        assert victim not in pids(running)
        records(site, 40)
        found = sorted(document["n"] for document in site.read("clean", 80))
        assert found == list(range(80)), "each exactly once"
        until(
            lambda: counters(running)["streamguard_records_in_total[('policy', 'people')]"] == 80,
            what="the count",
        )
        after = counters(running)
        backwards = {name for name, value in before.items() if after.get(name, -1.0) < value}
        assert not backwards
        assert after["streamguard_process_restarts_total[('slot', 'guard-0')]"] == 1
        assert gauge(running, "streamguard_lane_running") == 2
        assert running.stop() == 0
        assert "Traceback" not in running.said()


def test_children_die_with_a_parent_that_is_killed(site):
    with site.folder.running("--processes", "2") as running:
        children = pids(running)
        running.process.kill()
        until(lambda: not any(is_alive(pid) for pid in children), within=10, what="the children are gone")
        assert "Traceback" not in running.said()


def test_all_reload_or_none(site):
    with site.folder.running("--processes", "2") as running:
        versions = {slot["lanes"][0]["version"] for slot in slots(running)}
        assert len(versions) == 1

        site.rewrite(who="redcat")
        send(running.pid, signal.SIGHUP)
        until(lambda: "reload.refused" in running.said(), what="the refusal")
        (refusal,) = [line for line in running.said().splitlines() if "reload.refused" in line]
        assert "did you mean 'redact'?" in refusal
        time.sleep(1.5)  # the children report once a second
        assert {slot["lanes"][0]["version"] for slot in slots(running)} == versions

        site.rewrite(who="{redact: {text: someone}}")
        send(running.pid, signal.SIGHUP)
        until(lambda: running.said().count("lane.reloaded") == 2, what="both reload")

        # Told through the control topic each child hears it, and the parent reloads once.
        until(
            lambda: all(slot["control"] == "listening" for slot in slots(running)), what="the agents listen"
        )
        site.rewrite(who="{redact: {text: nobody}}")
        site.tell("reload")
        until(lambda: running.said().count("lane.reloaded") == 4, what="both reload again")
        assert running.said().count("reload.done slot=") == 2 * 3, "parent and two children, twice"
        site.send({"n": 1, "who": "Ana"})
        assert site.read("clean", 1)[0]["who"] == "nobody"

        # A hangup that reaches a child is the parent's business too.
        site.rewrite(who="{redact: {text: anybody}}")
        send(pids(running)[1], signal.SIGHUP)
        until(lambda: running.said().count("lane.reloaded") == 6, what="both reload once more")
        assert running.stop() == 0


def test_a_child_that_hangs_is_replaced(site):
    with site.folder.running("--processes", "2") as running:
        victim = pids(running)[1]
        send(victim, signal.SIGSTOP)
        until(lambda: "parent.child_hangs" in running.said(), within=60, what="the silence is noticed")
        until(lambda: not is_alive(victim), what="its end")
        running.until_ready()
        assert victim not in pids(running)
        assert running.stop() == 0


def test_ctrl_c_at_a_terminal_reaches_children_once(site):
    with site.folder.running("--processes", "2") as running:
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does it
        os.killpg(running.pid, signal.SIGINT)
        assert running.ended(within=20) == 0
        assert running.said().count("process.signal") <= 4
        assert "Traceback" not in running.said()
        assert "parent.child_ended" not in running.said()


def test_no_metrics_are_left_behind(site):
    def folders(running: Running) -> list[Path]:
        homes = Path("/dev/shm"), site.folder.path / "temporary"  # noqa: S108 - to look only
        return [found for home in homes for found in home.glob(f"streamguard-metrics-{running.pid}-*")]

    with site.folder.running("--processes", "2") as running:
        assert len(folders(running)) == 1
        assert running.stop() == 0
    assert not folders(running)
