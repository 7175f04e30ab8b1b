"""A real broker of the bench's own, its topics, and what consumer groups have committed there."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

SCRIPT: Final = Path(__file__).resolve().parent.parent / "scripts" / "kafka"
MISSING_PART: Final = 69  # scripts/kafka: Java or Maven is missing
PARTITIONS: Final = 4
_QUIET: Final = {"log_level": "2"}  # brokers come and go here, and librdkafka would report each time
# A broker that has just started answers so until it has made its topic of offsets.
_NOT_YET: Final = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
_TOPIC: Final = {"file.delete.delay.ms": "1000"}  # what one contender wrote is gone before the next has run


class NoBroker(Exception):
    """There is no broker to measure against; the message says what to install."""


class Broker:
    """One broker. `address` is as ``bootstrap.servers`` takes it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.admin = AdminClient({"bootstrap.servers": address} | _QUIET)

    def create_topic(self, stem: str) -> str:
        """A new topic of four partitions; its name."""
        name = f"{stem}-{uuid.uuid4().hex[:8]}"
        self.admin.create_topics([NewTopic(name, PARTITIONS, 1, config=_TOPIC)])[name].result(timeout=30)
        return name

    def delete_topics(self, *names: str) -> None:
        """Delete those of `names` that exist."""
        for deleted in self.admin.delete_topics(list(names)).values():
            with contextlib.suppress(Exception):
                deleted.result(timeout=30)

    def fill(self, topic: str, values: Sequence[bytes], count: int) -> None:
        """Write `count` records, spread evenly, `values` over and over; return when the broker has them all."""
        producer = Producer(
            {"bootstrap.servers": self.address, "linger.ms": 20, "queue.buffering.max.messages": 1_000_000}
        )
        for number, value in enumerate(islice(cycle(values), count)):
            while True:
                try:
                    producer.produce(topic, value, str(number).encode(), number % PARTITIONS)
                    break
                except BufferError:
                    producer.poll(0.05)
            if number % 1000 == 0:
                producer.poll(0)
        producer.flush()


class Progress:
    """How many records of `topic` a consumer group has committed."""

    def __init__(self, broker: Broker, group: str, topic: str) -> None:
        # read_uncommitted: an answer now, not after the transaction that is under way.
        self._consumer = Consumer(
            {"bootstrap.servers": broker.address, "group.id": group, "isolation.level": "read_uncommitted"}
            | _QUIET
        )
        self._partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]

    def committed(self) -> int:
        """The sum over all partitions; 0 before the first commit."""
        try:
            places = self._consumer.committed(self._partitions, timeout=10)
        except KafkaException as error:
            if error.args[0].code() not in _NOT_YET:
                raise
            return 0
        return sum(max(0, place.offset) for place in places)

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()


@contextlib.contextmanager
def running() -> Iterator[Broker]:
    """A broker for this run, with its data removed afterwards. Raises NoBroker where Java or Maven is missing."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    done = _kafka("start", name)
    if done.returncode == MISSING_PART:
        raise NoBroker(done.stderr.strip().removeprefix("kafka: "))
    if done.returncode != 0:
        raise RuntimeError(f"scripts/kafka start failed:\n{done.stderr}")
    try:
        yield Broker(done.stdout.splitlines()[-1])
    finally:
        _kafka("stop", name, "--delete")


def _kafka(command: str, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), command, "--name", name, *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
