"""Looking into topics: from a place in time to their present end, or on for ever, and without leaving a trace.

A `Reader` belongs to no consumer group and commits nothing. It sees committed records only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from heapq import nlargest
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from streamguard import logs
from streamguard.policy.service import Service
from streamguard.streams.client import CONNECTION, END_OF_PARTITION, FINAL, admin_config, trouble
from streamguard.streams.contact import Contact
from streamguard.streams.topics import REACHED_WITHIN, is_there

_ANSWER_WITHIN: Final = 10.0  # seconds for the cluster to answer one question
_AT_ONCE: Final = 500  # records taken in one call
_WAIT: Final = 0.2  # seconds to wait for them
_FURTHER: Final = 10  # times as far before the end, where too few records were found

T = TypeVar("T")

Place = tuple[str, int]
"""A topic and one of its partitions."""


class Reader:
    """Reads whole topics. A context manager.

    `since` is where to begin, by the records' timestamps; `last` begins about so many records before the end of each
    partition instead (offsets that hold no record count as well). Raises KafkaTrouble when the topics cannot be read.
    """

    def __init__(
        self,
        service: Service,
        topics: Sequence[str],
        *,
        since: datetime | None = None,
        last: int | None = None,
    ) -> None:
        self._service = service
        self._since_ms = int(since.timestamp() * 1000) if since else 0
        self._consumer = self._make_consumer()
        try:
            self._lows, starts, self._ends = self._range(topics, last)
            self._begin(starts)
        except KafkaException as problem:
            self._consumer.close()
            raise trouble(problem.args[0], service, topics[0]) from None
        except BaseException:
            self._consumer.close()
            raise

    @property
    def total(self) -> int:
        """About how many records there are to read to the present end."""
        return sum(self._ends[place] - start for place, start in self._starts.items())

    @property
    def done(self) -> int:
        """How many of `total` are behind us."""
        return sum(min(at, self._ends[place]) - self._starts[place] for place, at in self._at.items())

    def to_the_end(self) -> Iterator[Message]:
        """All records up to where the topics ended when the reader was made."""
        pending = {place for place, at in self._at.items() if at < self._ends[place]}
        while pending:
            yield from self._take(pending)
            pending = {place for place in pending if self._at[place] < self._ends[place]}

    def latest(
        self, count: int, what: Callable[[Iterator[Message]], Iterable[T]], when: Callable[[T], Any]
    ) -> list[T]:
        """The `count` that are latest by `when` among what `what` makes of the records up to the end; latest first.

        `what` is called again with more of them where those that `last` named were too few.
        """
        while True:
            found = nlargest(count, what(self.to_the_end()), key=when)
            if not self._further_back(count):
                return found

    def for_ever(self) -> Iterator[Message | None]:
        """All records, those to come included; None whenever there is none for the moment."""
        contact = Contact(self._reaches_cluster, partial(is_there, self._service))
        while True:
            messages = self._take(set())
            yield from messages
            if not messages:
                if contact.is_lost():
                    self._go_on_anew()
                yield None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def _make_consumer(self) -> Consumer:
        return Consumer(
            {
                **admin_config(self._service),
                "group.id": f"{self._service.group}.reader",  # librdkafka asks for one; nothing is committed under it
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
            },
            logger=logs.librdkafka(),
        )

    def _reaches_cluster(self) -> bool:
        try:
            self._consumer.list_topics(next(iter(self._at))[0], timeout=REACHED_WITHIN)
        except KafkaException:
            return False
        return True

    def _go_on_anew(self) -> None:
        """With another consumer, from where we are."""
        self._consumer.close()
        self._consumer = self._make_consumer()
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in self._at.items()])

    def _further_back(self, count: int) -> bool:
        """Begin anew, and earlier in the partitions that gave fewer than `count` records. False where none has more.

        Records of aborted transactions take offsets, any number of them; nobody can tell before reading.
        """
        short = {
            place: max(self._lows[place], end - _FURTHER * (end - self._starts[place]))
            for place, end in self._ends.items()
            if self._taken[place] < count and self._starts[place] > self._lows[place]
        }
        if short:
            self._begin({**self._starts, **short})
        return bool(short)

    def _begin(self, starts: dict[Place, int]) -> None:
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in starts.items()])
        self._starts = starts
        self._at = dict(starts)
        self._taken: Counter[Place] = Counter()

    def _take(self, pending: set[Place]) -> list[Message]:
        """The next records. A partition of `pending` at whose end we are is taken to have ended where it should."""
        messages: list[Message] = []
        for message in self._consumer.consume(_AT_ONCE, timeout=_WAIT):
            place, offset, error = _place(message), message.offset() or 0, message.error()
            if error is None:
                self._at[place] = offset + 1
                self._taken[place] += 1
                if message.timestamp()[1] >= self._since_ms:  # Kafka finds the batch, not the record
                    messages.append(message)
            elif error.code() == END_OF_PARTITION:
                # What lies between the last record and the end are markers of transactions.
                self._at[place] = max(self._at[place], self._ends[place] if place in pending else offset)
            elif error.code() in CONNECTION | FINAL:
                raise trouble(error, self._service, place[0])
        return messages

    def _range(
        self, topics: Sequence[str], last: int | None
    ) -> tuple[dict[Place, int], dict[Place, int], dict[Place, int]]:
        """First offsets that there are, first offsets to read, and the present ends."""
        places = [(topic, partition) for topic in topics for partition in self._partitions(topic)]
        marks: dict[Place, tuple[int, int]] = {
            place: self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=_ANSWER_WITHIN)
            for place in places
        }
        lows = {place: low for place, (low, _) in marks.items()}
        ends = {place: high for place, (_, high) in marks.items()}
        if self._since_ms:
            found = self._consumer.offsets_for_times(
                [TopicPartition(*place, self._since_ms) for place in places],
                timeout=_ANSWER_WITHIN,
            )
            starts = {(one.topic, one.partition): one.offset for one in found}
            return (
                lows,
                {place: start if start >= 0 else ends[place] for place, start in starts.items()},
                ends,
            )
        if last is not None:
            return lows, {place: max(low, high - last) for place, (low, high) in marks.items()}, ends
        return lows, lows, ends

    def _partitions(self, topic: str) -> list[int]:
        found = self._consumer.list_topics(topic, timeout=_ANSWER_WITHIN).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        return sorted(found.partitions)


def _place(message: Message) -> Place:
    return message.topic() or "", message.partition() or 0
