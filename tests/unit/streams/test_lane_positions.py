"""Where a lane commits: behind a partition's last record, and behind the transaction marker that follows it."""

import pytest
from confluent_kafka import KafkaError, Message

from streamguard.guard.batch import Batch
from streamguard.streams.delivery import Undone
from tests.lanes import Site


def end_of_partition(partition: int, offset: int) -> Message:
    return Message(partition=partition, offset=offset, error=KafkaError(KafkaError._PARTITION_EOF))


def counted(lane, partitions: list[int], offsets: list[int]) -> dict[int, int]:
    batch = Batch("people", [b"{}"] * len(offsets), partitions=partitions, offsets=offsets)
    lane._note_positions(batch)
    return lane._positions


def test_a_partitions_end_that_came_with_its_last_records_is_committed():
    """Events of a slice are heeded before its records are counted; otherwise lag would never read 0."""
    lane = Site("127.0.0.1:1", "people").lane()

    lane._on_event(end_of_partition(0, 12))

    assert counted(lane, [0, 1, 0], [9, 4, 10]) == {0: 12, 1: 5}


def test_positions_follow_the_records():
    lane = Site("127.0.0.1:1", "people").lane()

    assert counted(lane, [0, 0, 1], [1, 2, 7]) == {0: 3, 1: 8}
    assert counted(lane, [0], [5]) == {0: 6, 1: 8}


@pytest.mark.parametrize(
    "code", [KafkaError.NOT_COORDINATOR, KafkaError._BAD_COMPRESSION, KafkaError.UNKNOWN]
)
def test_whatever_else_a_partition_reports_is_read_again(code: int):
    """Of a position that could not be learnt and of records that cannot be read, librdkafka tells once and goes on."""
    lane = Site("127.0.0.1:1", "people").lane()

    with pytest.raises(Undone):
        lane._on_event(Message(partition=0, error=KafkaError(code)))
