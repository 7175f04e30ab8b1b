"""Brokers that go away, hang or come back, and records that are gone."""

import os
import signal
import time
from functools import partial
from itertools import chain, repeat

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streamguard.streams.client import KafkaTrouble
from streamguard.streams.positions import PositionLost
from tests.lanes import assert_exactly_once, document, open_site, read
from tests.servers import LOSSY, Broker
from tests.waiting import until


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_a_broker_that_restarts_amid_the_flow(second_kafka: Broker, ending: str):
    kafka = second_kafka.address
    with open_site(kafka, partitions=2) as site:
        site.send([document(n) for n in range(150_000)], partitions=2)
        with site.running() as lane:
            until(lambda: sum(site.committed(2)) > 5_000)
            getattr(second_kafka, ending)()
            until(lambda: not lane.ready)
            time.sleep(1)
            second_kafka.start()
            assert_exactly_once(site, 150_000, partitions=2)
            until(lambda: lane.ready)


def test_a_broker_that_hangs_for_longer_than_a_transaction_may_last(second_kafka: Broker):
    kafka = second_kafka.address
    with open_site(kafka, partitions=2, service={"transaction_timeout_ms": 4_000}) as site:
        site.send([document(n) for n in range(100_000)], partitions=2)
        with site.running() as lane:
            until(lambda: sum(site.committed(2)) > 5_000)
            os.kill(second_kafka.pid, signal.SIGSTOP)
            time.sleep(9)
            os.kill(second_kafka.pid, signal.SIGCONT)
            assert_exactly_once(site, 100_000, partitions=2)
            assert lane.state == "running"


def test_an_idle_lane_notices_that_the_broker_is_back(second_kafka: Broker):
    with open_site(second_kafka.address) as site, site.running() as lane:
        site.send([document(0)])
        read(site.kafka, site.clean, at_least=1)
        second_kafka.stop()
        until(lambda: not lane.ready)
        second_kafka.start()
        until(lambda: lane.ready, what=lambda: f"the lane is {lane.state}, {lane.reason}")


def test_a_lane_outlives_brokers_that_say_that_there_are_none(second_kafka: Broker):
    """A broker that ends says so to who asks often enough; without recovery that is final (mostly: it is a matter of
    milliseconds), and the consumer has to be replaced."""
    service = {"kafka": {"bootstrap.servers": second_kafka.address, **LOSSY}}
    with open_site(second_kafka.address, service=service) as site, site.running() as lane:
        for sent in (1, 2):
            site.send([document(sent)])
            read(site.kafka, site.clean, at_least=sent)
            second_kafka.stop()
            until(lambda: not lane.ready)
            second_kafka.start()
            until(lambda: lane.ready, what=lambda: f"the lane is {lane.state}, {lane.reason}")
        site.send([document(3)])
        assert_exactly_once(site, 3, partitions=1)


def test_a_consumer_that_is_lost_is_replaced(kafka: str):
    with open_site(kafka, partitions=2) as site, site.running() as lane:
        site.send([document(n) for n in range(10_000)], partitions=2)
        until(lambda: sum(site.committed(2)) > 0)
        lost, answers = lane._consumer, chain([True], repeat(False))
        lane._contact.is_lost = partial(next, answers)  # type: ignore[method-assign]
        until(lambda: lane._consumer is not lost)
        site.send([document(n) for n in range(10_000, 20_000)], partitions=2)
        assert_exactly_once(site, 20_000, partitions=2)
        assert lane.ready


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_a_lane_stops_in_time_while_no_broker_answers(second_kafka: Broker, delivery: str):
    with open_site(second_kafka.address, policy={"delivery": delivery}) as site:
        site.send([document(n) for n in range(200_000)])
        with site.running() as lane:
            until(lambda: sum(site.committed(1)) > 5_000)
            os.kill(second_kafka.pid, signal.SIGSTOP)
            try:
                time.sleep(1.5)
                began = time.monotonic()
                lane.stop()
                assert lane.join(60)
                assert time.monotonic() - began < 10
                assert lane.state == "stopped"
            finally:
                os.kill(second_kafka.pid, signal.SIGCONT)
        if delivery == "exactly_once":
            with site.running():
                assert_exactly_once(site, 200_000, partitions=1)


def test_a_lane_waits_for_a_broker_that_is_not_there_yet(second_kafka: Broker):
    with open_site(second_kafka.address) as site:
        site.send([document(n) for n in range(10)])
        second_kafka.stop()
        lane = site.lane()
        lane.start()
        try:
            until(lambda: (lane.state, lane.reason) == ("starting", "transport"))
            second_kafka.start()
            assert_exactly_once(site, 10, partitions=1)
            assert lane.ready
        finally:
            lane.stop()
            assert lane.join(60)


def test_a_slot_that_was_killed_ends_its_own_dangling_transaction(kafka: str):
    with open_site(kafka, service={"transaction_timeout_ms": 60_000}) as site:
        site.send([document(n) for n in range(100)])
        # What a lane killed with SIGKILL leaves: records and offsets in a transaction that nobody ends.
        dangling = Producer({"bootstrap.servers": kafka, "transactional.id": f"{site.group}.people.0"})
        dangling.init_transactions(60)
        dangling.begin_transaction()
        dangling.produce(site.clean, b"left behind", partition=0)
        dangling.flush(20)
        began = time.monotonic()
        with site.running("0"):
            assert_exactly_once(site, 100, partitions=1)
        assert time.monotonic() - began < 45  # and not the 60 of its transaction
        del dangling


def test_records_that_are_gone_stop_the_lane_instead_of_being_skipped(kafka: str):
    with open_site(kafka) as site:
        site.send([document(n) for n in range(10)])
        with site.running():
            assert_exactly_once(site, 10, partitions=1)
        site.send([document(n) for n in range(10, 30)])
        admin = AdminClient({"bootstrap.servers": kafka})
        for deleted in admin.delete_records([TopicPartition(site.source, 0, 25)]).values():
            deleted.result(timeout=60)
        with site.running() as lane:
            until(lambda: lane.state == "failed")
        assert isinstance(lane.error, PositionLost)
        assert "Nothing is skipped silently" in lane.error.remedy
        assert site.committed(1) == [10]
        assert len(read(kafka, site.clean)) == 10


def test_a_source_that_is_deleted_stops_the_lane(kafka: str):
    service = {"kafka": {"bootstrap.servers": kafka, "topic.metadata.refresh.interval.ms": "500"}}
    with open_site(kafka, service=service) as site, site.running() as lane:
        site.send([document(0)])
        read(kafka, site.clean, at_least=1)
        admin = AdminClient({"bootstrap.servers": kafka})
        admin.delete_topics([site.source])[site.source].result(timeout=60)
        until(lambda: lane.state == "failed", within=60)
        assert isinstance(lane.error, KafkaTrouble)
        assert site.source in str(lane.error)


def test_a_full_queue_waits_for_the_broker(kafka: str):
    tight = {"bootstrap.servers": kafka, "queue.buffering.max.messages": "50"}
    with open_site(kafka, service={"kafka": tight}) as site:
        site.send([document(n) for n in range(3_000)])
        with site.running():
            assert_exactly_once(site, 3_000, partitions=1)


def test_an_unforeseen_exception_ends_the_lane_and_publishes_nothing(kafka: str):
    with open_site(kafka) as site:
        site.send([document(n) for n in range(10)])
        lane = site.lane()

        def fail(*_: object) -> None:
            raise ZeroDivisionError("secret-value")

        lane._send_clean = fail  # type: ignore[method-assign]
        lane.start()
        assert lane.join(60)
        assert lane.state == "failed"
        assert "ZeroDivisionError" in str(lane.error)
        assert "secret-value" not in str(lane.error)
        assert read(kafka, site.clean) == []
        assert site.committed(1) == [0]
