"""Partitions that move, and processes that claim the same slot."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer, Producer

from streamguard.guard.batch import Batch
from streamguard.streams.lane import Lane
from streamguard.streams.rivals import SlotInUseError
from tests.lanes import Site, assert_exactly_once, document, open_site, read, sources
from tests.waiting import until


@contextmanager
def traffic(site: Site, count: int, *, partitions: int, seconds: float) -> Iterator[None]:
    """Send `count` records evenly over some seconds, beside what the test does."""

    def send() -> None:
        producer = Producer({"bootstrap.servers": site.kafka, "linger.ms": 5})
        began = time.monotonic()
        for n in range(count):
            producer.produce(site.source, document(n), partition=n % partitions)
            if n % 50 == 0:
                producer.poll(0)
                time.sleep(max(0.0, began + seconds * n / count - time.monotonic()))
        assert producer.flush(30) == 0

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@pytest.mark.parametrize("permanent", [False, True], ids=["any slot", "permanent slot"])
def test_partitions_move_between_lanes_while_records_flow(kafka: str, permanent: bool):
    with (
        open_site(kafka, partitions=6, service={"session_timeout_ms": 6_000}) as site,
        site.running("0", permanent=permanent) as first,
        traffic(site, 40_000, partitions=6, seconds=10),
    ):
        for _ in range(3):
            with site.running("1", permanent=permanent) as second:
                until(lambda second=second: len(first.partitions) == len(second.partitions) == 3)
                time.sleep(0.7)
        assert_exactly_once(site, 40_000, partitions=6)
        assert first.state == "running"


def test_a_dead_lanes_partitions_are_taken_over(kafka: str):
    with (
        open_site(kafka, partitions=4, service={"session_timeout_ms": 6_000}) as site,
        site.running("0") as first,
        site.running("1") as second,
    ):
        until(lambda: len(first.partitions) == len(second.partitions) == 2)
        with traffic(site, 20_000, partitions=4, seconds=8):
            time.sleep(1)
            die(first)
            assert_exactly_once(site, 20_000, partitions=4)
        assert second.partitions == (0, 1, 2, 3)


def die(lane: Lane) -> None:
    """End a lane's work as a crash would, amid a transaction, without a word to the broker."""
    dead = threading.Event()

    def never() -> None:
        dead.set()
        lane._stopping.wait()

    lane._obey = never  # type: ignore[method-assign]
    # Its consumer would go on with heartbeats in the background, so it has to leave; the transaction stays open.
    assert dead.wait(10)
    lane._consumer.unsubscribe()


def test_a_lane_that_was_given_up_for_dead_publishes_nothing_more(kafka: str):
    """Its group has moved on while it was busy with a slice, and its client knows that before the lane does."""
    impatient = {"bootstrap.servers": kafka, "max.poll.interval.ms": "6000"}
    with open_site(kafka, service={"kafka": impatient, "session_timeout_ms": 6_000}) as site:
        slow = site.make_guard()
        process, asleep = slow.process, threading.Event()

        def sleep(batch: Batch) -> None:
            if not asleep.is_set():
                asleep.set()
                time.sleep(9)
            process(batch)

        slow.process = sleep  # type: ignore[method-assign]
        with site.running("0", guard=slow) as first:
            site.send([document(n) for n in range(100)])
            assert asleep.wait(20)
            with site.running("1") as second:
                until(lambda: second.partitions == (0,))
                assert_exactly_once(site, 100, partitions=1)
                time.sleep(5)
                assert_exactly_once(site, 100, partitions=1)
            site.send([document(n) for n in range(100, 120)])
            assert_exactly_once(site, 120, partitions=1)
            assert first.ready


def test_an_at_least_once_lane_gives_partitions_back_without_repeating(kafka: str):
    with open_site(kafka, partitions=4, policy={"delivery": "at_least_once"}) as site:
        with site.running("0") as first, traffic(site, 20_000, partitions=4, seconds=6):
            for _ in range(2):
                with site.running("1") as second:
                    until(lambda second=second: len(first.partitions) == len(second.partitions) == 2)
                    time.sleep(0.5)
        # A rebalance in good order repeats nothing in this mode either; only a crash may.
        with site.running("0"):
            assert_exactly_once(site, 20_000, partitions=4)


def test_of_two_lanes_with_one_slot_the_older_gives_way(kafka: str):
    with open_site(kafka, partitions=2) as site:
        lanes = [site.lane("0"), site.lane("0")]
        for lane in lanes:
            lane.start()
        try:
            with traffic(site, 6_000, partitions=2, seconds=8):
                until(lambda: any(lane.state == "failed" for lane in lanes), within=60)
            (loser,) = [lane for lane in lanes if lane.state == "failed"]
            (winner,) = [lane for lane in lanes if lane is not loser]
            assert isinstance(loser.error, SlotInUseError)
            assert "Slot '0' is in use elsewhere" in str(loser.error)
            assert_exactly_once(site, 6_000, partitions=2)
            assert winner.state == "running"
        finally:
            for lane in lanes:
                lane.stop()
                assert lane.join(60)


def test_a_second_lane_with_a_permanent_slot_ends_the_first(kafka: str):
    with open_site(kafka, partitions=2) as site, site.running("0", permanent=True) as first:
        site.send([document(n) for n in range(100)], partitions=2)
        read(kafka, site.clean, at_least=100)
        with site.running("0", permanent=True) as second:
            until(lambda: first.state == "failed")
            assert isinstance(first.error, SlotInUseError)
            site.send([document(n) for n in range(100, 200)], partitions=2)
            assert_exactly_once(site, 200, partitions=2)
            assert second.ready


def test_a_producer_fenced_once_is_replaced(kafka: str):
    with open_site(kafka) as site, site.running("0") as lane:
        site.send([document(0)])
        read(kafka, site.clean, at_least=1)
        fence(site, "0")
        site.send([document(n) for n in range(1, 100)])
        assert_exactly_once(site, 100, partitions=1)
        assert lane.ready
        fence(site, "0")
        site.send([document(100)])
        until(lambda: lane.state == "failed")
    assert isinstance(lane.error, SlotInUseError)
    with site.running("1"):
        assert len(sources(read(kafka, site.clean, at_least=101))) == 101


def test_a_consumer_thrown_out_once_joins_again(kafka: str):
    with open_site(kafka, partitions=2) as site, site.running("0", permanent=True) as lane:
        site.send([document(n) for n in range(100)], partitions=2)
        read(kafka, site.clean, at_least=100)
        oust(site, "0")
        site.send([document(n) for n in range(100, 200)], partitions=2)
        assert_exactly_once(site, 200, partitions=2)
        until(lambda: lane.ready)
        oust(site, "0")
        until(lambda: lane.state == "failed")
    assert isinstance(lane.error, SlotInUseError)


def oust(site: Site, slot: str) -> None:
    """Take the slot's place in the group, as another process would, and leave it again."""
    group = f"{site.group}.people"
    rival = Consumer(
        {"bootstrap.servers": site.kafka, "group.id": group, "group.instance.id": f"{group}.{slot}"}
    )
    rival.subscribe([site.source])
    until(lambda: rival.poll(0.1) is not None or rival.assignment())
    rival.close()


def fence(site: Site, slot: str) -> None:
    """Take the slot's transactional id, as another process would."""
    rival = Producer({"bootstrap.servers": site.kafka, "transactional.id": f"{site.group}.people.{slot}"})
    rival.init_transactions(60)


def test_a_restarted_permanent_slot_has_its_partitions_back_at_once(kafka: str):
    with open_site(kafka, partitions=2, service={"session_timeout_ms": 30_000}) as site:
        with site.running("0", permanent=True), site.running("1", permanent=True) as second:
            until(lambda: second.partitions == (1,))
        began = time.monotonic()
        with site.running("1", permanent=True) as second:
            assert second.partitions == (1,)
        assert time.monotonic() - began < 25  # and not the 30 of its session
