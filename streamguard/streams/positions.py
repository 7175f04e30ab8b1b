"""Where a lane begins to read: always at a committed offset, so that no crash can move it.

`start` counts for a group that has no commits yet. Its answer is committed before the first record is read: with
``start: latest``, a record that arrives before the first ordinary commit would otherwise be skipped by a restart.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streamguard.errors import StreamGuardError

Start = Literal["earliest", "latest"] | datetime


class PositionLost(StreamGuardError):
    """The next record to read is gone: deleted by retention, or with its topic, before it was processed."""

    def __init__(self, topic: str, partition: int) -> None:
        super().__init__(
            f"Partition {partition} of '{topic}' no longer holds the record at which this group stands: it was deleted "
            "before it was processed.",
            "Decide where to go on and set the group's offset (kafka-consumer-groups --reset-offsets), and lengthen "
            "the topic's retention. Nothing is skipped silently.",
        )


def pin_start(consumer: Consumer, topic: str, partitions: int, start: Start, within: float) -> bool:
    """Commit where a new group starts; True when it was new. Call before `subscribe`; raises KafkaException.

    Only a group without members takes these commits, so whoever comes second changes nothing. `within` is how many
    seconds the broker has for each answer.
    """
    everything = [TopicPartition(topic, partition) for partition in range(partitions)]
    if any(found.offset >= 0 for found in consumer.committed(everything, timeout=within)):
        return False
    if isinstance(start, datetime):
        wanted = _at_time(consumer, everything, start, within)
    else:
        wanted = [_end_of(consumer, partition, start, within) for partition in everything]
    try:
        consumer.commit(offsets=wanted, asynchronous=False)
    except KafkaException as problem:
        if problem.args[0].code() != KafkaError.UNKNOWN_MEMBER_ID:
            raise
        return False
    return True


def pin_new_partition(consumer: Consumer, topic: str, partition: int, within: float) -> None:
    """A partition without a commit in a group that has others: it was added later, and all of it is new.

    Raises PositionLost when it does have a commit, of a record that is gone; KafkaException.
    """
    where = TopicPartition(topic, partition)
    (committed,) = consumer.committed([where], timeout=within)
    low, high = _ends_of(consumer, where, within)
    if committed.offset < 0:
        consumer.commit(offsets=[TopicPartition(topic, partition, low)], asynchronous=False)
    elif not low <= committed.offset <= high:
        raise PositionLost(topic, partition)


def _ends_of(consumer: Consumer, partition: TopicPartition, within: float) -> tuple[int, int]:
    found = consumer.get_watermark_offsets(partition, timeout=within)
    if found is None:
        raise KafkaException(KafkaError(KafkaError.REQUEST_TIMED_OUT))
    return found


def _end_of(
    consumer: Consumer, partition: TopicPartition, start: Literal["earliest", "latest"], within: float
) -> TopicPartition:
    low, high = _ends_of(consumer, partition, within)
    return TopicPartition(partition.topic, partition.partition, low if start == "earliest" else high)


def _at_time(
    consumer: Consumer, partitions: list[TopicPartition], start: datetime, within: float
) -> list[TopicPartition]:
    """The first record not older than `start` in each partition, or its end when there is none."""
    moment = int(start.timestamp() * 1000)
    asked = [TopicPartition(where.topic, where.partition, moment) for where in partitions]
    found = consumer.offsets_for_times(asked, timeout=within)
    return [where if where.offset >= 0 else _end_of(consumer, where, "latest", within) for where in found]
