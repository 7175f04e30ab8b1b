"""Handing results to Kafka so that outputs and offsets stay together.

`ExactlyOnce` puts both into one Kafka transaction (KIP-98, KIP-447). `AtLeastOnce` waits for the outputs to be
acknowledged and commits the offsets after them: cheaper and sooner visible, and a crash in between repeats records.

Both are used from one thread and speak the same four verbs, `begin → send … → commit | abort`. A call that fails raises
`Undone`; the caller then aborts, which always succeeds, and does the same records again.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import starmap
from queue import Empty, SimpleQueue
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from streamguard import logs
from streamguard.guard.batch import Headers
from streamguard.streams.client import FENCED, FINAL, PURGED, REFUSALS, code_of, is_fatal

_STEP: Final = 0.25  # seconds that one call into librdkafka may block: how soon a stop is noticed
_PATIENCE: Final = 5.0  # seconds to open or abort; after that a new producer puts things right
_HEARD_WITHIN: Final = 0.05  # seconds for the records of a producer that is let go of to report their end


class Undone(Exception):
    """What was sent since `begin` is not committed: abort, and do it again. `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Delivery(ABC):
    """A producer with its outcome.

    `timeout` is how long, in seconds, the outcome may stay open; `give_up` is asked while waiting: true ends the wait.
    """

    def __init__(self, config: Mapping[str, Any], timeout: float, give_up: Callable[[], bool]) -> None:
        self._config = dict(config)
        self._timeout = timeout
        self._give_up = give_up
        self._producer: Producer | None = None
        self.is_open = False
        self.refusal: str | None = None
        """Why the broker refused a record since `begin`; None when it refused none."""
        self.fenced = False
        """True when another producer took over our id; whoever reads it clears it."""
        self._failure: str | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Have a producer. What an earlier one of the same slot left open is aborted. Raises Undone."""

    @abstractmethod
    def begin(self, group: object) -> None:
        """Open, for records of this membership of the group. Raises Undone when no producer can be had now."""

    @abstractmethod
    def commit(self, consumer: Consumer, positions: list[TopicPartition]) -> None:
        """Make everything sent since `begin` final, and the positions with it. Raises Undone."""

    @abstractmethod
    def abort(self) -> None:
        """End what is open, if anything is, as undone. Never raises: at worst the producer is replaced."""

    @abstractmethod
    def give_back(self, consumer: Consumer, positions: list[TopicPartition]) -> bool:
        """The partitions are being taken away: end what is open. True when it was committed. Never raises."""

    def configure(self, **properties: Any) -> None:
        """Change properties of the producer. It is replaced when any of them is new; only between transactions."""
        if properties.items() - self._config.items():
            self._config |= properties
            self.close()

    def send(
        self,
        topic: str,
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None],
        partitions: Sequence[int],
        timestamps: Sequence[int],
        headers: Sequence[Headers],
    ) -> None:
        """Hand columns of records over. A timestamp of 0 means the present. Raises Undone."""
        producer = self._at_work()
        produce: Callable[..., None] = producer.produce
        nothing = [None] * len(values)
        columns = ([topic] * len(values), values, keys, partitions, nothing, nothing, timestamps, headers)
        # By position and through `starmap` a call takes 0.65 µs; in a loop 0.72, and 1.1 by name (measured).
        calls, sent = zip(*columns, strict=True), 0
        try:
            while sent < len(values):
                try:
                    for _ in starmap(produce, calls):
                        sent += 1
                except BufferError:
                    self._make_room()
                    produce(*(column[sent] for column in columns))
                    sent += 1
            producer.poll(0)
        except KafkaException as problem:
            raise self._undone(problem) from None
        except BufferError:
            raise Undone("queue_full") from None

    def close(self) -> None:
        """Let go of the producer without waiting for its brokers. Whatever was open is undone."""
        self.is_open = False
        if self._producer is not None:
            self._producer.purge(in_queue=True, in_flight=True, blocking=False)
            # What the library keeps of a record it lets go of when the record's end is heard.
            for wait in (0.0, _HEARD_WITHIN):
                self._hear(self._producer, wait)
            self._producer = None

    def _at_work(self) -> Producer:
        if self._producer is None:
            raise Undone("closed")
        return self._producer

    def _new_producer(self) -> Producer:
        return Producer(self._config | {"on_delivery": self._on_failure}, logger=logs.librdkafka())

    def _start(self) -> None:
        self.refusal = self._failure = None
        self.is_open = True

    def _make_room(self) -> None:
        """The queue is full: wait for the broker, not longer than a transaction may last."""
        producer = self._at_work()
        deadline = time.monotonic() + self._timeout
        full = len(producer)
        while len(producer) >= full:
            producer.poll(0.05)
            if self._give_up() or time.monotonic() > deadline:
                raise Undone("queue_full")

    def _on_failure(self, error: KafkaError, _: Message) -> None:
        code = error.code()
        if code in REFUSALS:
            self.refusal = REFUSALS[code]
        elif code not in PURGED:
            self._failure = code_of(error)

    def _hear(self, producer: Producer, within: float = 0.0) -> None:
        """Let the producer tell what it knows of its connections. It raises what is fatal; the call itself will too."""
        with suppress(KafkaException):
            producer.poll(within)

    def _undone(self, problem: KafkaException) -> Exception:
        """The exception to raise for one of librdkafka's: the same when no retry would help, Undone otherwise."""
        error: KafkaError = problem.args[0]
        code = error.code()
        if code in FINAL:
            return problem
        if code in REFUSALS:
            self.refusal = REFUSALS[code]
        if code in FENCED:
            self.fenced = True
        if is_fatal(error) or code in FENCED:
            self.close()
        return Undone(code_of(error))


class ExactlyOnce(Delivery):
    """Outputs and offsets in one transaction.

    It is committed under the membership (`Consumer.consumer_group_metadata`) with which the records' partitions were
    assigned: the coordinator then refuses the offsets of a member whose partitions have moved meanwhile. Fresh metadata
    would vouch for a stale batch, and a client that knows itself thrown out gives metadata that vouches for nothing.
    """

    _group: object = None

    def prepare(self) -> None:
        if self._producer is None:
            producer = self._new_producer()
            self._insist(producer, lambda: producer.init_transactions(_STEP), time.monotonic() + _PATIENCE)
            self._producer = producer

    def begin(self, group: object) -> None:
        self.prepare()
        self._group = group
        try:
            self._at_work().begin_transaction()
        except KafkaException as problem:
            raise self._undone(problem) from None
        self._start()

    def commit(self, consumer: Consumer, positions: list[TopicPartition]) -> None:
        producer = self._at_work()
        # Past its timeout the coordinator has decided about the transaction without us.
        deadline = time.monotonic() + self._timeout
        offsets = producer.send_offsets_to_transaction
        self._insist(
            producer, lambda: self._outlast(lambda: offsets(positions, self._group), deadline), deadline
        )
        self._insist(producer, lambda: producer.commit_transaction(_STEP), deadline)
        self.is_open = False

    def abort(self) -> None:
        if not self.is_open:
            return
        try:
            producer = self._at_work()
            self._insist(producer, lambda: producer.abort_transaction(_STEP), time.monotonic() + _PATIENCE)
        except (Undone, KafkaException):
            self.close()
        self.is_open = False
        if self.refusal:
            # librdkafka counts on from the sequence numbers of the refused batch, and the next transaction would
            # fail with OUT_OF_ORDER_SEQUENCE_NUMBER (measured, 2.16). A new producer starts with new ones.
            self.close()

    def give_back(self, consumer: Consumer, positions: list[TopicPartition]) -> bool:
        self.abort()
        return False

    def _outlast(self, call: Callable[[], Any], deadline: float) -> None:
        """Make a call that waits for a coordinator that is away for as long as it is, whatever timeout it is given.

        It has a thread to wait in (measured, librdkafka 2.16: 15 s, or for ever). Given up, the thread is left behind
        with its producer, and both end when the call returns. Raises what the call raises, or Undone.
        """
        answers: SimpleQueue[Exception | None] = SimpleQueue()

        def ask() -> None:
            try:
                call()
                answers.put(None)
            except Exception as problem:  # noqa: BLE001 - raised again where it is waited for
                answers.put(problem)

        threading.Thread(target=ask, name="offsets", daemon=True).start()
        problem: Exception | None = None
        while True:
            try:
                problem = answers.get(timeout=_STEP)
                break
            except Empty:
                self._hear(self._at_work())
                if self._give_up() or time.monotonic() > deadline:
                    self.close()
                    raise Undone("timed_out") from None
        if problem is not None:
            raise problem

    def _insist(self, producer: Producer, call: Callable[[], Any], deadline: float) -> None:
        """Repeat a call for as long as librdkafka says that it may be repeated. Raises Undone."""
        while True:
            try:
                call()
                return
            except KafkaException as problem:
                error: KafkaError = problem.args[0]
                self._hear(producer)
                if not error.retriable() or is_fatal(error) or error.txn_requires_abort():
                    raise self._undone(problem) from None
                if self._give_up() or time.monotonic() > deadline:
                    # The call may still be under way, and librdkafka then takes no other: of no more use.
                    self.close()
                    raise Undone(code_of(error)) from None


class AtLeastOnce(Delivery):
    """Outputs first; offsets once all outputs are acknowledged."""

    def prepare(self) -> None:
        if self._producer is None:
            self._producer = self._new_producer()

    def begin(self, group: object) -> None:
        self.prepare()
        self._start()

    def commit(self, consumer: Consumer, positions: list[TopicPartition]) -> None:
        # Nothing has to wait for the answer: a commit that fails is made good by the next one. (While a call that
        # waits is under way, the library lets no other thread use the consumer, so none could be left behind either.)
        self._when_acknowledged(lambda: consumer.commit(offsets=positions, asynchronous=True))

    def abort(self) -> None:
        if self.is_open:
            self.close()

    def give_back(self, consumer: Consumer, positions: list[TopicPartition]) -> bool:
        if not self.is_open:
            return False
        try:
            self._when_acknowledged(lambda: consumer.commit(offsets=positions, asynchronous=False))
        except (Undone, KafkaException):
            self.abort()
            return False
        return True

    def _when_acknowledged(self, commit: Callable[[], object]) -> None:
        producer = self._at_work()
        deadline = time.monotonic() + self._timeout
        while producer.flush(_STEP):
            if self._give_up() or time.monotonic() > deadline:
                raise Undone("timed_out")
        if self.refusal or self._failure:
            raise Undone(self.refusal or self._failure or "")
        try:
            commit()
        except KafkaException as problem:
            raise self._undone(problem) from None
        self.is_open = False
