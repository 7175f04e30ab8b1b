"""A lane on a real broker: what goes in comes out once, as it should."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions
from prometheus_client import REGISTRY

from streamguard.errors import ConfigError
from streamguard.guard.guard import SLICE
from tests.lanes import Site, assert_exactly_once, document, open_site, read, sources
from tests.waiting import until

DELIVERIES = pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"streamguard_{name}", {"policy": "people", **labels}) or 0.0


@DELIVERIES
def test_each_record_is_either_clean_or_a_violation(kafka: str, delivery: str):
    with open_site(kafka, partitions=3, policy={"delivery": delivery}) as site:
        site.send([document(n) if n % 10 else b"{" for n in range(3000)], partitions=3)
        with site.running():
            assert_exactly_once(site, 3000, partitions=3, bad=300)
            until(lambda: site.committed(3) == [1000, 1000, 1000])


@DELIVERIES
def test_keys_timestamps_and_allowed_headers_are_preserved(kafka: str, delivery: str):
    moment = 1_600_000_000_123
    trace = ("traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01")
    with open_site(kafka, policy={"delivery": delivery}) as site:
        headers = [trace, ("secret", b"x")]
        site.send([document(1)], key=b"\xff\x00key", timestamp=moment, headers=headers)
        with site.running():
            (clean,) = read(kafka, site.clean, at_least=1)
    assert clean.key() == b"\xff\x00key"
    assert clean.timestamp()[1] == moment
    assert clean.headers() == [
        trace,
        ("sg-source", f"{site.source}/0/0".encode()),
        ("sg-policy", b"people@1"),
    ]


def test_tombstones_null_keys_and_empty_values_keep_their_meaning(kafka: str):
    with open_site(kafka) as site:
        site.send([None], key="gone")
        site.send([document(1)], key=None)
        site.send([b""], key="empty")
        with site.running():
            clean = read(kafka, site.clean, at_least=2)
            (violation,) = read(kafka, site.violations, at_least=1)
    assert [(record.key(), record.value() is None) for record in clean] == [(b"gone", True), (None, False)]
    assert b'"code":"decode.empty"' in violation.value()


def test_violations_carry_the_time_of_the_finding(kafka: str):
    with open_site(kafka) as site:
        site.send([b"{"], timestamp=1_000_000_000)
        with site.running():
            (violation,) = read(kafka, site.violations, at_least=1)
    assert violation.timestamp()[1] / 1000 == pytest.approx(time.time(), abs=60)


def test_a_grown_source_keeps_order_on_fewer_output_partitions(kafka: str):
    with open_site(kafka, partitions=2) as site:
        with site.running() as lane:
            admin = AdminClient({"bootstrap.servers": kafka})
            admin.create_partitions([NewPartitions(site.source, 5)])[site.source].result(timeout=60)
        site.send([document(n) if n % 7 else b"{" for n in range(500)], partitions=5)
        with site.running() as lane:
            clean = read(kafka, site.clean, at_least=428)
            violations = read(kafka, site.violations, at_least=72)
            assert lane.partitions == (0, 1, 2, 3, 4)
    for outputs in (clean, violations):
        for record, (partition, _) in zip(outputs, sources(outputs), strict=True):
            assert record.partition() == partition % 2
        for partition in range(5):
            offsets = [offset for source, offset in sources(outputs) if source == partition]
            assert offsets == sorted(offsets)
    assert len(clean) + len(violations) == 500


# -- Where it starts -------------------------------------------------------------------------------------------------


def numbers(site: Site, count: int) -> list[int]:
    return [
        int(record.value().split(b":")[1].split(b",")[0])
        for record in read(site.kafka, site.clean, at_least=count)
    ]


def test_start_latest_means_from_now_on_and_is_remembered(kafka: str):
    with open_site(kafka, partitions=2, service={"start": "latest"}) as site:
        site.send([document(n) for n in range(10)], partitions=2)
        with site.running():
            pass
        # Nothing was read, yet the place is committed: what comes while nobody runs is not skipped.
        assert site.committed(2) == [5, 5]
        site.send([document(n) for n in range(10, 14)], partitions=2)
        with site.running():
            assert sorted(numbers(site, 4)) == [10, 11, 12, 13]


def test_start_at_a_time(kafka: str):
    begin = datetime(2026, 1, 31, 12, tzinfo=UTC)
    with open_site(kafka, service={"start": begin}) as site:
        for n in range(5):
            moment = begin + timedelta(hours=n - 2)
            site.send([document(n)], timestamp=int(moment.timestamp() * 1000))
        with site.running():
            assert numbers(site, 3) == [2, 3, 4]


def test_start_does_not_count_for_a_group_with_commits(kafka: str):
    with open_site(kafka) as site:
        site.send([document(n) for n in range(3)])
        with site.running():
            assert numbers(site, 3) == [0, 1, 2]
        site.send([document(n) for n in range(3, 5)])
        site.service["start"] = "latest"
        with site.running():
            assert numbers(site, 5) == [0, 1, 2, 3, 4]


def test_a_partition_that_is_added_later_is_read_from_its_beginning(kafka: str):
    service = {
        "start": "latest",
        "kafka": {"bootstrap.servers": kafka, "topic.metadata.refresh.interval.ms": "500"},
    }
    with open_site(kafka, service=service) as site, site.running() as lane:
        site.send([document(0)])
        assert numbers(site, 1) == [0]
        admin = AdminClient({"bootstrap.servers": kafka})
        admin.create_partitions([NewPartitions(site.source, 2)])[site.source].result(timeout=60)
        producer = Producer({"bootstrap.servers": kafka, "topic.metadata.refresh.interval.ms": "500"})
        producer.produce(site.source, document(1), partition=1)
        assert producer.flush(20) == 0
        assert sorted(numbers(site, 2)) == [0, 1]
        until(lambda: lane.partitions == (0, 1))


# -- While it runs ---------------------------------------------------------------------------------------------------


def test_it_follows_records_as_they_come(kafka: str):
    with open_site(kafka) as site, site.running():
        for n in range(5):
            site.send([document(n)])
            assert len(read(kafka, site.clean, at_least=n + 1)) == n + 1


@DELIVERIES
def test_stopping_in_the_midst_loses_and_repeats_nothing(kafka: str, delivery: str):
    policy = {"commit_interval_ms": 500, "delivery": delivery}
    with open_site(kafka, partitions=3, policy=policy) as site:
        site.send([document(n) for n in range(60_000)], partitions=3)
        turns = halfway = 0
        while turns < 4 or halfway == 0:
            with site.running():
                time.sleep(0.15)
            turns += 1
            halfway = sum(offset for offset in site.committed(3) if offset > 0)
        with site.running():
            assert_exactly_once(site, 60_000, partitions=3)


def test_a_new_policy_is_adopted_between_two_slices(kafka: str):
    with open_site(kafka) as site, site.running() as lane:
        site.send([document(0)])
        read(kafka, site.clean, at_least=1)
        lane.reload(site.make_guard(version="2", fields={"who": "redact"}))
        until(lambda: lane.policy.version == "2")
        site.send([document(1)])
        _, second = read(kafka, site.clean, at_least=2)
    assert dict(second.headers())["sg-policy"] == b"people@2"
    assert b"redacted" in second.value()


@pytest.mark.parametrize(
    "change",
    [{"topic": "other"}, {"outputs": {"clean": "other"}}, {"delivery": "at_least_once"}, {"name": "other"}],
)
def test_a_policy_that_means_something_else_is_refused(kafka: str, change: dict[str, Any]):
    with open_site(kafka) as site, site.running() as lane:
        with pytest.raises(ConfigError, match="Restart"):
            lane.reload(site.make_guard(**change))
        assert lane.ready


def test_a_flood_of_violations_pauses_until_a_better_policy_comes(kafka: str):
    limit = {"violation_limit": {"ratio": 0.5, "per": SLICE + 50}}
    with open_site(kafka, policy=limit) as site:
        site.send([document(n, note="x") for n in range(1000)])
        strict = site.make_guard(quality=[{"rule": "n < 0", "code": "negative"}])
        with site.running(guard=strict) as lane:
            until(lambda: (lane.state, lane.reason) == ("paused", "violation_limit"))
            assert not lane.ready
            assert metric("lane_paused") == 1
            lane.reload(site.make_guard())
            until(lambda: site.committed(1) == [1000])
            assert lane.ready
            # What was judged before the limit was reached stays judged; not one record more.
            violations = read(kafka, site.violations)
            assert 0 < len(violations) < SLICE + 50
            assert_exactly_once(site, 1000, partitions=1, bad=len(violations))


def test_resuming_takes_a_flood_for_what_it_is(kafka: str):
    limit = {"violation_limit": {"ratio": 0.5, "per": 200}}
    with open_site(kafka, policy=limit) as site:
        site.send([b"{"] * 5000)
        with site.running() as lane:
            until(lambda: (lane.state, lane.reason) == ("paused", "violation_limit"))
            lane.resume()
            until(lambda: site.committed(1) == [5000])
            assert lane.ready
            assert_exactly_once(site, 5000, partitions=1, bad=5000)


def test_pausing_and_resuming(kafka: str):
    with open_site(kafka) as site, site.running() as lane:
        lane.pause()
        until(lambda: (lane.state, lane.reason) == ("paused", "operator"))
        site.send([document(n) for n in range(10)])
        time.sleep(0.5)
        assert read(kafka, site.clean) == []
        lane.resume()
        assert_exactly_once(site, 10, partitions=1)


def test_a_lane_that_is_paused_before_it_starts_reads_nothing(kafka: str):
    with open_site(kafka) as site:
        site.send([document(n) for n in range(10)])
        lane = site.lane()
        lane.pause()
        lane.start()
        until(lambda: lane.partitions == (0,))
        time.sleep(0.5)
        assert read(kafka, site.clean) == []
        lane.resume()
        assert_exactly_once(site, 10, partitions=1)
        lane.stop()
        assert lane.join(60)


def test_only_committed_source_records_are_read_and_markers_leave_no_lag(kafka: str):
    with open_site(kafka) as site:
        producer = Producer({"bootstrap.servers": kafka, "transactional.id": f"{site.group}-source"})
        producer.init_transactions(60)
        for n, end in enumerate([producer.commit_transaction, producer.abort_transaction] * 3):
            producer.begin_transaction()
            producer.produce(site.source, document(n))
            producer.flush(20)
            end(20)
        with site.running():
            assert numbers(site, 3) == [0, 2, 4]
            _, end = Consumer({"bootstrap.servers": kafka, "group.id": "x"}).get_watermark_offsets(
                TopicPartition(site.source, 0), timeout=10
            )
            until(lambda: site.committed(1) == [end])


def test_metrics_count_what_is_committed(kafka: str):
    before = {name: metric(name) for name in ("records_in_total", "records_clean_total", "bytes_in_total")}
    broken = metric("violations_total", code="decode.json")
    with open_site(kafka) as site:
        site.send([document(n) for n in range(90)] + [b"{"] * 10)
        with site.running():
            assert metric("lane_running") == metric("partitions") == 1
            until(lambda: site.committed(1) == [100])
            until(lambda: metric("records_in_total") - before["records_in_total"] == 100)
    assert metric("records_clean_total") - before["records_clean_total"] == 90
    assert metric("violations_total", code="decode.json") - broken == 10
    assert metric("bytes_in_total") > before["bytes_in_total"]
    assert metric("lag_records") == metric("lane_running") == metric("partitions") == 0


def test_it_stops_at_once_when_nothing_is_there(kafka: str):
    with open_site(kafka) as site, site.running() as lane:
        began = time.monotonic()
        lane.stop()
        assert lane.join(60)
        assert time.monotonic() - began < 5
        assert (lane.state, lane.error) == ("stopped", None)


def test_a_property_that_librdkafka_refuses_is_named_as_ours_to_mend():
    site = Site(
        "localhost:9", "people", service={"kafka": {"bootstrap.servers": "localhost:9", "no.such.thing": "1"}}
    )
    with pytest.raises(ConfigError, match="refuses a property") as caught:
        site.lane()
    assert not isinstance(caught.value.__context__, KafkaException) or caught.value.__suppress_context__
