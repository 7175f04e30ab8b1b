"""What StreamGuard adds to the time between a producer and a reader, at a fixed rate.

Every record has a time at which it is *meant* to be sent, and its latency counts from there: when the producer is held
up, the records that had to wait count their waiting too (no coordinated omission). One reader reads the source topic,
another one the clean topic, both ``read_committed``; what a record needed more to reach the second is what we added.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self

from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.broker import PARTITIONS, Broker
from benchmarks.contenders import Contender, StreamGuard
from benchmarks.records import orders
from benchmarks.window import START_WITHIN, Stalled

CONTENDERS: Final = (
    StreamGuard("exactly once, commit every 200 ms"),
    StreamGuard("exactly once, commit every 20 ms", commit_ms=20),
    StreamGuard("at least once", delivery="at_least_once"),
)
PERCENTILES: Final = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}

_WARM_UP: Final = 2.0  # seconds of the same rate before the records that count
_LAST_WITHIN: Final = 10.0  # seconds after the last send
_NUMBERED: Final = b"n"  # begins the keys of records that are timed


def measure(
    broker: Broker,
    contenders: Sequence[Contender],
    *,
    rate: int,
    seconds: float,
    folder: Path,
    say: Callable[[str], None],
) -> dict[str, dict[str, dict[str, float]]]:
    """``{contender: {"total" | "added": {percentile: milliseconds}}}``."""
    measured = {}
    for contender in contenders:
        say(f"latency: {contender.name}, {rate:,} records/s for {seconds:.0f} s")
        measured[contender.name] = _measure(broker, contender, rate, seconds, folder)
    return measured


def _measure(
    broker: Broker, contender: Contender, rate: int, seconds: float, folder: Path
) -> dict[str, dict[str, float]]:
    source = broker.create_topic("orders")
    warm_up, count = int(_WARM_UP * rate), int((_WARM_UP + seconds) * rate)
    try:
        with contender.between(broker, source, folder) as running:
            _wake(broker, source, running.progress.committed, running.program.check)
            with _Arrivals(broker, source) as direct, _Arrivals(broker, running.sink) as guarded:
                meant = _send(broker, source, rate, count)
                for arrivals in (direct, guarded):
                    arrivals.wait_for(count)
    finally:
        broker.delete_topics(source)
    counted = range(warm_up, count)
    total = [guarded.at[number] - meant[number] for number in counted]
    added = [guarded.at[number] - direct.at[number] for number in counted]
    return {"total": percentiles(total), "added": percentiles(added)}


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """The smallest value that so many of all do not exceed, in milliseconds."""
    ordered = sorted(seconds)
    return {
        name: ordered[max(0, -(-round(share * 1e6) * len(ordered) // 1_000_000) - 1)] * 1000
        for name, share in PERCENTILES.items()
    }


def _wake(broker: Broker, source: str, committed: Callable[[], int], check: Callable[[], None]) -> None:
    """See the service work on one record per partition before anything is timed."""
    broker.fill(source, orders(PARTITIONS), PARTITIONS)
    deadline = time.monotonic() + START_WITHIN
    while committed() < PARTITIONS:
        check()
        if time.monotonic() > deadline:
            raise Stalled(f"nothing committed for {START_WITHIN:.0f} s")
        time.sleep(0.05)


def _send(broker: Broker, topic: str, rate: int, count: int) -> list[float]:
    """Send `count` records at the times they are meant to be sent, or as soon after as possible; those times."""
    producer = Producer({"bootstrap.servers": broker.address, "linger.ms": 0, "acks": "all"})
    values = orders(1000)
    start = time.monotonic() + 0.1
    meant = [start + number / rate for number in range(count)]
    for number, due in enumerate(meant):
        while (ahead := due - time.monotonic()) > 0:
            producer.poll(ahead)
        producer.produce(topic, values[number % len(values)], _NUMBERED + b"%d" % number, number % PARTITIONS)
    producer.flush()
    return meant


class _Arrivals:
    """When each record that `_send` numbered became readable in `topic`: `at[number]`."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self.at: dict[int, float] = {}
        self._enough = threading.Event()
        self._stop = threading.Event()
        self._consumer = Consumer(
            {
                "bootstrap.servers": broker.address,
                "group.id": "bench-reader",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
            }
        )
        ends = [
            TopicPartition(
                topic, number, self._consumer.get_watermark_offsets(TopicPartition(topic, number))[1]
            )
            for number in range(PARTITIONS)
        ]
        self._consumer.assign(ends)
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def wait_for(self, count: int) -> None:
        """Wait until `count` records have arrived."""
        deadline = time.monotonic() + _LAST_WITHIN
        while len(self.at) < count:
            if time.monotonic() > deadline:
                raise Stalled(f"{count - len(self.at)} of {count} records did not arrive")
            time.sleep(0.01)

    def _read(self) -> None:
        while not self._stop.is_set():
            message = self._consumer.poll(0.1)
            now = time.monotonic()
            key = message.key() if message is not None and message.error() is None else None
            if key is not None and key.startswith(_NUMBERED):
                self.at.setdefault(int(key.removeprefix(_NUMBERED)), now)
