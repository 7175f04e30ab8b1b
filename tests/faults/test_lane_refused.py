"""Records that an output topic refuses: each ends as a violation, and none stops the others."""

import json
import time
from typing import Any

import pytest

from streamguard.streams.lane import Lane
from streamguard.streams.topics import TopicSettings
from tests.lanes import Site, assert_exactly_once, at_work, configure, document, open_site, read
from tests.waiting import until

LARGE = "x" * 20_000
HOUR_MS = 3_600_000


def codes(site: Site, count: int) -> list[str]:
    return [
        json.loads(record.value())["code"] for record in read(site.kafka, site.violations, at_least=count)
    ]


def unaware(lane: Lane, **settings: Any) -> Lane:
    """Have a lane believe that its clean topic takes anything, so that only the broker's answer can tell."""
    lane._learn_outputs = lambda: None  # type: ignore[method-assign]
    lane._clean = TopicSettings(
        partitions=1, **{"max_message_bytes": 10_000_000, "after_max_ms": 2**62, **settings}
    )
    lane._violations = TopicSettings(partitions=1)
    return lane


def test_a_record_larger_than_its_topic_allows(kafka: str):
    with open_site(kafka) as site:
        configure(kafka, site.clean, max_message_bytes="10000")
        site.send([document(n, note=LARGE) if n == 50 else document(n) for n in range(100)])
        with site.running():
            assert_exactly_once(site, 100, partitions=1, bad=1)
    # The source took it; only the clean topic would not.
    with open_site(kafka) as site:
        configure(kafka, site.clean, max_message_bytes="10000")
        site.send([document(1, note=LARGE)])
        with site.running():
            assert codes(site, 1) == ["produce.too_large"]


def test_a_record_that_just_fits_passes(kafka: str):
    with open_site(kafka) as site:
        configure(kafka, site.clean, max_message_bytes="10000")
        bare = len(document(1, note="").replace(b" ", b""))
        site.send([document(1, note="x" * size) for size in range(9_200 - bare, 10_100 - bare, 30)])
        with site.running():
            until(lambda: site.committed(1) == [30])
            sizes = [len(record.value()) for record in read(kafka, site.clean)]
            refused = codes(site, 30 - len(sizes))
    assert set(refused) == {"produce.too_large"}
    assert 9_600 < max(sizes) < 10_000


def test_a_violation_larger_than_its_topic_allows_goes_without_the_original(kafka: str):
    with open_site(kafka) as site:
        configure(kafka, site.violations, max_message_bytes="5000")
        site.send([b'{"n": "' + b"x" * 100_000 + b'"}', b'{"n": "short"}'])
        with site.running():
            first, second = (
                json.loads(record.value()) for record in read(kafka, site.violations, at_least=2)
            )
    assert (first["original"], first["original_bytes"]) == ("omitted", 100_009)
    assert second["original"].startswith("sg1.q.")
    assert first["code"] == second["code"] == "schema.type"


def test_a_record_without_a_key_on_a_compacted_topic(kafka: str):
    with open_site(kafka, config={"cleanup.policy": "compact"}) as site:
        configure(kafka, site.source, cleanup_policy="delete")
        site.send([document(0), document(1)])
        site.send([document(2)], key=None)
        with site.running():
            assert_exactly_once(site, 3, partitions=1, bad=1)
        assert codes(site, 1) == ["produce.no_key"]


def test_a_timestamp_that_the_topic_does_not_accept(kafka: str):
    future = int(time.time() * 1000) + 2 * HOUR_MS
    with open_site(kafka) as site:
        configure(kafka, site.source, message_timestamp_after_max_ms=str(10 * HOUR_MS))
        configure(kafka, site.clean, message_timestamp_before_max_ms=str(HOUR_MS))
        for moment in (future, future - 3 * HOUR_MS // 2, future - 4 * HOUR_MS):
            site.send([document(1)], timestamp=moment)
        with site.running():
            assert_exactly_once(site, 3, partitions=1, bad=2)
        assert codes(site, 2) == ["produce.timestamp"] * 2


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_settings_changed_under_a_running_lane_are_noticed(kafka: str, delivery: str):
    with open_site(kafka, policy={"delivery": delivery}) as site, site.running():
        site.send([document(0)])
        read(kafka, site.clean, at_least=1)
        configure(kafka, site.clean, max_message_bytes="10000")
        site.send([document(n, note=LARGE) if n % 20 == 7 else document(n) for n in range(99)])
        until(lambda: site.committed(1) == [100])
        assert codes(site, 5) == ["produce.too_large"] * 5
        found = {json.loads(record.value())["n"] for record in read(kafka, site.clean)}
        assert found == {n for n in range(99) if n % 20 != 7}


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_a_record_that_only_the_broker_knows_to_refuse_is_found_by_bisection(kafka: str, delivery: str):
    guilty = {137, 512, 513}
    with open_site(kafka, policy={"delivery": delivery}) as site:
        configure(kafka, site.clean, max_message_bytes="10000")
        site.send([document(n, note=LARGE) if n in guilty else document(n) for n in range(1000)])
        with at_work(unaware(site.lane())):
            until(lambda: site.committed(1) == [1000], within=60)
        violations = [json.loads(record.value()) for record in read(kafka, site.violations, at_least=3)]
        clean = {json.loads(record.value())["n"] for record in read(kafka, site.clean)}
        if delivery == "exactly_once":
            assert_exactly_once(site, 1000, partitions=1, bad=3)
    assert {violation["source"]["offset"] for violation in violations} == guilty
    assert {violation["code"] for violation in violations} == {"produce.too_large"}
    assert clean == set(range(1000)) - guilty


def test_bisection_over_several_partitions_and_kinds_of_refusal(kafka: str):
    future = int(time.time() * 1000) + 2 * HOUR_MS
    with open_site(kafka, partitions=3) as site:
        configure(kafka, site.source, message_timestamp_after_max_ms=str(10 * HOUR_MS))
        site.send([document(n) for n in range(300)], partitions=3)
        site.send([document(n) for n in range(300, 303)], partitions=3, timestamp=future)
        site.send([document(n) for n in range(303, 600)], partitions=3)
        lane = unaware(site.lane())
        lane._clean = TopicSettings(partitions=3, after_max_ms=2**62)
        lane._violations = TopicSettings(partitions=3)
        with at_work(lane):
            assert_exactly_once(site, 600, partitions=3, bad=3)
        assert codes(site, 3) == ["produce.timestamp"] * 3


def test_a_violation_that_is_refused_goes_without_the_original_and_then_stops_the_lane(kafka: str):
    with open_site(kafka) as site:
        site.send([b'{"n": "' + b"x" * 3_000 + b'"}'])
        configure(kafka, site.violations, max_message_bytes="3000")
        with at_work(unaware(site.lane())) as lane:
            (violation,) = read(kafka, site.violations, at_least=1)
            assert json.loads(violation.value())["original"] == "omitted"
            configure(kafka, site.violations, max_message_bytes="100")
            site.send([b"{"])
            until(lambda: lane.state == "failed")
        assert "refuses even the shortest violation" in str(lane.error)
        assert site.committed(1) == [1]
