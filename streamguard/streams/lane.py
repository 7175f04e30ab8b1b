"""A lane: one topic under one policy, carried by one thread.

The thread owns poll → guard → produce → commit, so no record ever waits in a queue while its partition moves to another
process: offsets committed for a stale batch are accepted by Kafka, and its records then appear twice.

Everything that goes wrong ends the same way: what is open is aborted, the position goes back to what is committed, and
the same records are done again (`_set_back`). There is no second path that could disagree with the first.

==================  ================================================================================================
`state`             what it means; `reason` says why
==================  ================================================================================================
``starting``        no partitions yet
``running``         records flow, or would if there were any
``paused``          waiting: for keys or schemas (``keys_unavailable``, ``registry_unavailable``), for Kafka
                    (librdkafka's name of the error), for a person (``violation_limit``, ``operator``); it goes on
                    polling, and its partitions stay where they are
``stopped``         `stop` was asked for, and everything is committed or aborted
``failed``          a person has to act: `error` says what
==================  ================================================================================================
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final, Literal

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamguard import logs
from streamguard.errors import ConfigError, StreamGuardError, UnavailableError
from streamguard.guard.batch import Batch, Headers
from streamguard.guard.guard import SLICE, Guard
from streamguard.guard.violation import Finding, Violation
from streamguard.metrics import LaneMetrics
from streamguard.policy.service import Service
from streamguard.streams.client import (
    CONNECTION,
    END_OF_PARTITION,
    FINAL,
    NO_POSITION,
    OUSTED,
    KafkaTrouble,
    Slot,
    code_of,
    consumer_config,
    is_fatal,
    producer_config,
    transactional,
    trouble,
)
from streamguard.streams.contact import Contact
from streamguard.streams.delivery import AtLeastOnce, Delivery, ExactlyOnce, Undone
from streamguard.streams.flood import Flood
from streamguard.streams.positions import pin_new_partition, pin_start
from streamguard.streams.refused import Search
from streamguard.streams.rivals import Rivals
from streamguard.streams.tally import Tally
from streamguard.streams.topics import REACHED_WITHIN, Cluster, TopicSettings, is_there

State = Literal["starting", "running", "paused", "stopped", "failed"]

_ANSWER_WITHIN: Final = 4.0  # seconds for the cluster to answer one question: a stop waits for it
_IDLE: Final = 0.1  # seconds to wait for a first record: how soon a command is noticed
_FILL: Final = 0.02  # seconds a slice may fill up while the commit is not due anyway
_MARKERS_EVERY: Final = 5.0  # seconds between commits that only move positions behind transaction markers
_CLOSE_WITHIN: Final = 2.0  # seconds to leave the group in good order
_LONGEST_HOLD: Final = 5.0  # seconds between tries while keys or brokers are away

HEADERS: Final = Finding("decode.headers", "decode", "the name of a header is not UTF-8")
_UNREADABLE: Final[Headers] = []
# Its annotations allow for messages that are none. A column by the method of the class costs a third of a call each.
_Message: Final[Any] = Message

_log = logs.get(__name__)


class Lane:
    """Carries one policy's topic: the policy of the guard it is given.

    `on_change` is called in the lane's thread whenever `state` or `reason` changed. The methods may be called from any
    thread. Making a lane contacts nobody; raises ConfigError when librdkafka refuses one of the properties.
    """

    def __init__(
        self, service: Service, guard: Guard, slot: Slot, on_change: Callable[[Lane], None] | None = None
    ) -> None:
        policy = guard.policy
        self.policy = policy
        self.slot = slot
        self.state: State = "starting"
        self.reason = ""
        self.error: StreamGuardError | None = None
        self.partitions: tuple[int, ...] = ()

        self._service = service
        self._guard = guard
        self._interval = policy.commit_interval_ms / 1000
        self._flood = Flood(policy.violation_limit)
        self._on_change = on_change
        self._metrics = LaneMetrics(policy.name)
        self._commands: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._stopping = threading.Event()
        self._stop_by = math.inf
        self._thread = threading.Thread(target=self._run, name=f"lane-{policy.name}", daemon=True)
        self._consumer = self._make_consumer()
        self._delivery = self._make_delivery()
        # What the outputs accept; read when the lane opens, and again when a record was refused.
        self._clean = self._violations = TopicSettings(partitions=1)

        # The open transaction: what is in it, and where it leaves off in each partition.
        self._tally = Tally()
        self._positions: dict[int, int] = {}
        self._last_commit = -math.inf
        self._behind: dict[int, int] = {}

        # What went wrong, and until when to stand still because of it.
        self._held_until: float | None = None
        self._setbacks = 0
        self._starved = False
        self._group: object = None  # our membership, as of when the partitions were assigned
        self._moved = False
        self._contact = Contact(self._reaches_cluster, partial(is_there, service))
        self._rivals = Rivals(slot.name)
        self._search = Search()

    # -- For others --------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """True while records flow, or would if there were any."""
        return self.state == "running" and not self._contact.broken

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """Finish what is in hand, or abort it, and end within `timeout` seconds (default: the service's).

        Returns at once; `join` waits.
        """
        within = self._service.stop_timeout_ms / 1000 if timeout is None else timeout
        self._stop_by = time.monotonic() + 0.4 * within  # the rest is for aborting and leaving
        self._stopping.set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end; true when it has come."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def reload(self, guard: Guard) -> None:
        """Apply another guard from the next slice on; a lane that is paused for its violations goes on.

        Raises ConfigError when the new policy means other topics or another kind of delivery.
        """
        for what in ("name", "topic", "clean_topic", "violations_topic", "delivery"):
            if getattr(self.policy, what) != getattr(guard.policy, what):
                raise ConfigError(
                    f"Policy '{self.policy.name}' changed its {what.replace('_', ' ')}, which a running lane "
                    "cannot follow.",
                    "Restart the service.",
                )
        self._commands.put(lambda: self._adopt(guard))

    def pause(self) -> None:
        """Stand still until `resume`."""
        self._commands.put(lambda: self._set_back("operator", hold=math.inf))

    def resume(self) -> None:
        """Go on after `pause` or ``violation_limit``: what looked like a flood is then taken for what it is."""
        self._commands.put(self._resume)

    # -- The thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._open()
            while not self._stopping.is_set():
                self._turn()
            self._finish()
            self._settle("stopped")
        except StreamGuardError as error:
            self._fail(error)
        except KafkaException as problem:
            self._fail(trouble(problem.args[0], self._service, self.policy.topic))
        except Exception as error:  # noqa: BLE001 - a lane that ends must say so, whatever ended it
            _log.error("lane.unexpected", policy=self.policy.name, error=error)
            self._fail(
                StreamGuardError(
                    f"The lane '{self.policy.name}' met an unexpected {type(error).__name__}.",
                    "Nothing of the open transaction was published. Report it with the log line 'lane.unexpected'.",
                )
            )
        finally:
            self._close()

    def _turn(self) -> None:
        """Once around: take a slice, guard it, hand it over; commit when it is time."""
        self._obey()
        try:
            if self._held_until is not None:
                self._stand_still()
                return
            batch = self._read()
            if batch is not None:
                self._carry(batch)
            if self._is_due():
                self._commit()
            if not self._delivery.is_open:
                self._keep_contact()
        except UnavailableError as away:
            self._set_back(away.reason, away=away)
        except Undone as undone:
            self._set_back(undone.code)
        except KafkaException as problem:
            if problem.args[0].code() not in OUSTED:
                raise
            self._join_again()

    def _obey(self) -> None:
        try:
            while True:
                self._commands.get_nowait()()
        except Empty:
            pass

    def _settle(self, state: State, reason: str = "", error: StreamGuardError | None = None) -> None:
        if (state, reason) == (self.state, self.reason):
            return
        self.state, self.reason = state, reason
        self._metrics.running.set(state == "running")
        self._metrics.paused.set(state == "paused")
        write = _log.warning if state == "paused" else _log.error if state == "failed" else _log.info
        write(
            f"lane.{state}",
            policy=self.policy.name,
            version=self.policy.version,
            slot=self.slot.name,
            reason=reason or None,
            error=error,
        )
        if self._on_change is not None:
            self._on_change(self)

    def _fail(self, error: StreamGuardError) -> None:
        self.error = error
        self._settle("failed", error.code if isinstance(error, KafkaTrouble) else "", error)

    # -- Opening and closing -----------------------------------------------------------------------------------------

    def _make_consumer(self) -> Consumer:
        config = consumer_config(self._service, self.policy.name, self.slot)
        try:
            callbacks = {"error_cb": self._on_error, "on_commit": self._on_commit}
            return Consumer(config | callbacks, logger=logs.librdkafka())
        except KafkaException:
            raise ConfigError(
                "The Kafka client refuses a property under 'kafka:', or cannot read a file that one names.",
                "Compare the section with librdkafka's CONFIGURATION.md, and check the paths of keys and certificates.",
            ) from None

    def _make_delivery(self) -> Delivery:
        config = producer_config(self._service, self.policy.name, self.slot) | {"error_cb": self._on_error}
        timeout = self._service.transaction_timeout_ms / 1000
        if self.policy.delivery == "at_least_once":
            return AtLeastOnce(config, timeout, self._gives_up)
        return ExactlyOnce(
            transactional(config, self._service, self.policy.name, self.slot), timeout, self._gives_up
        )

    def _gives_up(self) -> bool:
        return time.monotonic() > self._stop_by

    def _open(self) -> None:
        while not self._stopping.is_set():
            try:
                self._learn_outputs()
                # First of all: what this slot left open when it was killed keeps its own positions from being read.
                self._delivery.prepare()
                self._subscribe()
                return
            except Undone as undone:
                self._settle("starting", undone.code)
            except KafkaTrouble as away:
                if not away.transient:
                    raise
                self._settle("starting", away.code)
            self._stopping.wait(1.0)

    def _learn_outputs(self) -> None:
        """Read what the outputs accept, and keep the producer's batches below it."""
        clean, violations = self.policy.clean_topic, self.policy.violations_topic
        settings = Cluster(self._service, within=_ANSWER_WITHIN).settings([clean, violations])
        self._clean, self._violations = settings[clean], settings[violations]
        sizes = [found.max_message_bytes for found in settings.values()]
        self._delivery.configure(
            **{
                "batch.size": min(*sizes, 1_000_000),
                "message.max.bytes": min(max(*sizes, 1_000), 1_000_000_000),
            }
        )

    def _subscribe(self) -> None:
        topic = self.policy.topic
        try:
            known = self._consumer.list_topics(topic, timeout=_ANSWER_WITHIN).topics[topic]
            if known.error is not None:
                raise trouble(known.error, self._service, topic)
            if pin_start(self._consumer, topic, len(known.partitions), self._service.start, _ANSWER_WITHIN):
                _log.info("lane.new_group", policy=self.policy.name, topic=topic)
            self._consumer.subscribe(
                [topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
        except KafkaException as problem:
            raise trouble(problem.args[0], self._service, topic) from None

    def _finish(self) -> None:
        """Commit what is in hand; what cannot be committed in time is aborted, and done by whoever comes next."""
        if not self._delivery.is_open:
            return
        try:
            self._commit()
        except Undone as undone:
            self._metrics.aborted(undone.code)

    def _close(self) -> None:
        self._delivery.abort()
        self._delivery.close()
        self._close_consumer(self._consumer).join(_CLOSE_WITHIN)
        self._metrics.running.set(0)
        self._metrics.paused.set(0)
        self._metrics.partitions.set(0)

    def _close_consumer(self, consumer: Consumer) -> threading.Thread:
        """Leaving the group waits for its coordinator, for as long as the session timeout; nobody else should."""
        closing = threading.Thread(target=consumer.close, name=f"{self._thread.name}-close", daemon=True)
        closing.start()
        return closing

    # -- Reading -----------------------------------------------------------------------------------------------------

    def _read(self) -> Batch | None:
        """The next slice, in columns; None when there is none now."""
        messages = self._consume()
        events = [message for message in messages if message.error() is not None]
        if events:
            for event in events:
                self._on_event(event)
            messages = [message for message in messages if message.error() is None]
        if self._moved:
            # Something of this call may have been fetched before the partitions moved: it is fetched again.
            self._moved = False
            self._positions.clear()
            if messages or events:
                self._rewind()
            return None
        if not messages:
            return None
        return Batch(
            self.policy.topic,
            list(map(_Message.value, messages)),
            keys=list(map(_Message.key, messages)),
            headers=_headers(messages),
            timestamps=[moment for _, moment in map(_Message.timestamp, messages)],
            partitions=list(map(_Message.partition, messages)),
            offsets=list(map(_Message.offset, messages)),
        )

    def _consume(self) -> list[Any]:
        """Up to a slice of messages and events (`Message`). Rebalance callbacks run in here."""
        room = min(SLICE, self._search.most - self._tally.records)
        if self._delivery.is_open:
            # Nothing is gained by a slice that is not full while the commit is not due.
            left = self._last_commit + self._interval - time.monotonic()
            return self._consumer.consume(room, max(0.0, min(_FILL, left)))
        first = self._consumer.poll(_IDLE)
        if first is None:
            return []
        return [first, *self._consumer.consume(room - 1, 0)] if room > 1 else [first]

    def _on_event(self, message: Message) -> None:
        error, partition = message.error(), message.partition() or 0
        if error is None:
            return
        if error.code() == END_OF_PARTITION:
            self._positions[partition] = max(self._positions.get(partition, 0), message.offset() or 0)
        elif error.code() in NO_POSITION:
            self._find_position(partition)
        elif is_fatal(error) or error.code() in FINAL:
            raise KafkaException(error)
        else:
            # librdkafka tells it once and then leaves a partition alone whose position it could not learn (its issue
            # 5586), or goes on behind records that it cannot read.
            self._on_error(error)
            raise Undone(code_of(error))

    def _find_position(self, partition: int) -> None:
        """There is nothing to read at the committed offset, or no such offset."""
        if self._moved or partition not in self.partitions:
            return
        self._delivery.abort()
        try:
            pin_new_partition(self._consumer, self.policy.topic, partition, _ANSWER_WITHIN)
        except KafkaException as problem:
            raise Undone(code_of(problem.args[0])) from None
        raise Undone("new_partition")

    # -- Carrying ----------------------------------------------------------------------------------------------------

    def _carry(self, batch: Batch) -> None:
        """Guard a slice and hand its outcome over. The first slice's keys are thus fetched outside the transaction."""
        began = time.monotonic()
        self._guard.process(batch)
        self._metrics.guard_seconds.observe(time.monotonic() - began)
        if _UNREADABLE in batch.headers:
            batch.reject_all([row for row in batch.live if batch.headers[row] is _UNREADABLE], HEADERS)
        if self._search.found:
            self._search.reject_found(batch)
        clean_bytes = self._clean.screen(batch)
        violations = [self._explain(batch, row) for row in sorted(batch.findings)]
        if self._flood.rises(len(batch.values), len(violations)):
            self._set_back("violation_limit", hold=math.inf)
            return
        if not self._delivery.is_open:
            self._begin()
        # Counted first: what is refused while it is handed over is looked for among these records too.
        self._note_positions(batch)
        self._tally.add(batch, violations, clean_bytes, began)
        self._send_clean(batch)
        self._send_violations(batch, violations)

    def _begin(self) -> None:
        self._heed_fencing()
        self._delivery.begin(self._group)

    def _explain(self, batch: Batch, row: int) -> Violation:
        place = batch.partitions[row], batch.offsets[row]
        # A violation that was itself refused goes out without the original.
        limit = 0 if self._search.refused_violation(place) else self._violations.max_message_bytes
        return self._guard.explain(batch, row, max_bytes=limit)

    def _send_clean(self, batch: Batch) -> None:
        if not batch.live:
            return
        columns: tuple[list[Any], ...] = (
            batch.out_values,
            batch.out_keys,
            batch.partitions,
            batch.out_timestamps,
            batch.out_headers,
        )
        if batch.findings:
            columns = tuple([column[row] for row in batch.live] for column in columns)
        values, keys, partitions, timestamps, headers = columns
        self._delivery.send(
            self.policy.clean_topic,
            values,
            keys,
            _folded(partitions, self._clean.partitions),
            timestamps,
            headers,
        )

    def _send_violations(self, batch: Batch, violations: list[Violation]) -> None:
        if not violations:
            return
        partitions = _folded(
            [batch.partitions[row] for row in sorted(batch.findings)], self._violations.partitions
        )
        self._delivery.send(
            self.policy.violations_topic,
            [violation.body for violation in violations],
            [violation.id.encode() for violation in violations],
            partitions,
            # The time of the finding: under the source's own, retention might delete it at once.
            [0] * len(violations),
            [list(violation.headers) for violation in violations],
        )

    def _note_positions(self, batch: Batch) -> None:
        for partition, offset in dict(zip(batch.partitions, batch.offsets, strict=True)).items():
            self._positions[partition] = max(self._positions.get(partition, 0), offset + 1)

    # -- Committing --------------------------------------------------------------------------------------------------

    def _is_due(self) -> bool:
        """One commit per interval at most. A record that comes after a quiet interval is committed at once."""
        since = time.monotonic() - self._last_commit
        if self._delivery.is_open:
            return since >= self._interval or self._tally.records >= self._search.most
        return bool(self._positions) and since >= _MARKERS_EVERY

    def _commit(self) -> None:
        started = time.monotonic()
        if not self._delivery.is_open:
            self._begin()
        self._delivery.commit(self._consumer, self._where())
        self._done(started)

    def _where(self) -> list[TopicPartition]:
        return [TopicPartition(self.policy.topic, *position) for position in self._positions.items()]

    def _done(self, started: float) -> None:
        """Everything is committed: count it, and begin with a clean sheet."""
        self._last_commit = time.monotonic()
        self._report(self._last_commit, started)
        self._search.passed(self._positions)
        if self._tally.records:
            self._starved = False
        if not self._starved:  # positions can be committed without keys: that shows nothing
            self._setbacks = 0
            self._settle("running")
        self._tally = Tally()
        self._positions.clear()

    def _report(self, now: float, started: float) -> None:
        metrics = self._metrics
        metrics.commit_seconds.observe(now - started)
        metrics.last_commit.set_to_current_time()
        self._behind |= self._lag()
        metrics.lag.set(sum(self._behind.values()))
        self._tally.report(metrics, now)

    def _lag(self) -> dict[int, int]:
        """Records behind the ends of the partitions just committed, as of their last fetch."""
        topic = self.policy.topic
        ends = {
            partition: self._consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)[1]
            for partition in self._positions
        }
        return {partition: max(0, ends[partition] - at) for partition, at in self._positions.items()}

    # -- When something goes wrong -----------------------------------------------------------------------------------

    def _set_back(
        self, reason: str, hold: float | None = None, *, away: UnavailableError | None = None
    ) -> None:
        """Undo what is open and go back to what is committed. Stands still for `hold` seconds.

        By default a first set-back is tried again at once, and each further one later. `away` when keys or schemas
        could not be had.
        """
        tally, refusal = self._tally, None
        if self._delivery.is_open or tally.records:
            self._delivery.abort()
            refusal = self._delivery.refusal
            self._metrics.aborted(refusal or reason)
            _log.info(
                "lane.aborted", policy=self.policy.name, reason=refusal or reason, records=tally.records
            )
        self._heed_fencing()
        self._tally = Tally()
        self._positions.clear()
        self._flood.forget()
        if refusal:
            self._narrow_down(tally, refusal)
            hold = 0.0
        if hold is None:
            hold = min(0.1 * 2**self._setbacks, _LONGEST_HOLD) if self._setbacks else 0.0
            self._setbacks += 1
        self._held_until = time.monotonic() + hold
        self._starved = away is not None
        if hold:
            self._consumer.pause(self._consumer.assignment())
            self._settle("paused", reason, away)

    def _stand_still(self) -> None:
        """Go on polling, so that the group knows that we live; whatever comes is read again later."""
        if self._held_until is not None and time.monotonic() >= self._held_until:
            # Positions can be read once what we left open is aborted, which a new producer sees to first of all.
            self._delivery.prepare()
            self._held_until = None
            self._rewind()
            return
        message = self._consumer.poll(_IDLE)
        error = message.error() if message is not None else None
        if error is not None and is_fatal(error):
            raise KafkaException(error)

    def _rewind(self) -> None:
        """Read again from what is committed, as the broker has it: we may not know how our last commit ended."""
        partitions = [TopicPartition(self.policy.topic, partition) for partition in self.partitions]
        if partitions:
            # A pause outlives an assignment (measured, librdkafka 2.16); seeking fails for partitions in error. And a
            # resume is dropped when it meets the start of a fetch (its issue 5591); the next one is not.
            self._consumer.resume(partitions)
            self._consumer.resume(partitions)
            self._consumer.assign(partitions)

    def _resume(self) -> None:
        if self.reason == "violation_limit":
            self._flood.allow()
        self._go_on()

    def _go_on(self) -> None:
        if self._held_until is None:
            return
        self._held_until = time.monotonic()
        self._flood.forget()
        self._settle("running" if self._group is not None else "starting")

    def _adopt(self, guard: Guard) -> None:
        self._guard = guard
        self.policy = guard.policy
        self._interval = guard.policy.commit_interval_ms / 1000
        self._flood = Flood(guard.policy.violation_limit)
        _log.info("lane.reloaded", policy=self.policy.name, version=self.policy.version)
        if self.reason != "operator":
            self._go_on()

    def _narrow_down(self, tally: Tally, refusal: str) -> None:
        try:
            self._learn_outputs()  # the topic's settings may have been changed under us
        except KafkaTrouble as away:
            if not away.transient:
                raise
        if not self._search.narrow(tally.records, tally.last, refusal):
            raise KafkaTrouble(
                refusal,
                f"The topic '{self.policy.violations_topic}' refuses even the shortest violation.",
                "Raise its max.message.bytes, or look into the broker's log.",
            )

    def _heed_fencing(self) -> None:
        """A fenced producer is replaced at the next opening, unless there is a rival."""
        if not self._delivery.fenced:
            return
        self._delivery.fenced = False
        if time.monotonic() - self._tally.began > self._service.transaction_timeout_ms / 1000:
            return  # the coordinator's own doing: it ends transactions that take too long
        self._look_for_rival()

    def _join_again(self) -> None:
        """Replace a consumer that was thrown out of its group, unless there is a rival."""
        self._delivery.abort()
        self._metrics.aborted("fenced")
        self._look_for_rival()
        self._replace_consumer()

    def _replace_consumer(self) -> None:
        self._drop_partitions()
        self._group = None
        old, self._consumer = self._consumer, self._make_consumer()
        self._close_consumer(old)
        held, reason = self._held_until, self.reason
        self._open()
        if held is not None:
            self._settle("paused", reason)

    def _look_for_rival(self) -> None:
        self._metrics.fences.inc()
        _log.warning("lane.fenced", policy=self.policy.name, slot=self.slot.name)
        self._rivals.fenced()

    def _on_error(self, error: KafkaError) -> None:
        """What librdkafka tells of its connections; called within `poll`."""
        code = code_of(error)
        self._metrics.kafka_error(code)
        if error.code() not in CONNECTION:
            return
        self._rivals.disconnected()
        if self._contact.broke():
            _log.warning("lane.kafka_unreachable", policy=self.policy.name, code=code)

    def _on_commit(self, error: KafkaError | None, _: list[TopicPartition]) -> None:
        """How a commit ended that nobody waits for; called within `poll`, out of which nothing may be raised."""
        if error is None:
            return
        self._on_error(error)
        if error.code() in FINAL:
            self._commands.put(partial(self._end, trouble(error, self._service, self.policy.topic)))

    def _end(self, error: StreamGuardError) -> None:
        raise error

    def _keep_contact(self) -> None:
        """See whether the cluster answers; a consumer that lost it for good is replaced."""
        if self._contact.is_lost():
            _log.warning("lane.lost_contact", policy=self.policy.name, slot=self.slot.name)
            self._replace_consumer()

    def _reaches_cluster(self) -> bool:
        """Whether the cluster answers our consumer."""
        try:
            self._consumer.list_topics(self.policy.topic, timeout=REACHED_WITHIN)
        except KafkaException as problem:
            self._on_error(problem.args[0])
            return False
        return True

    # -- When partitions move (called within poll and consume) ---------------------------------------------------------

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if consumer is not self._consumer:
            return  # one that was replaced, and hears of it while it takes its leave
        self.partitions = tuple(sorted(partition.partition for partition in partitions))
        self._moved = True
        self._group = consumer.consumer_group_metadata()
        consumer.assign(partitions)
        if self._held_until is None:
            consumer.resume(partitions)
            self._settle("running")
        else:
            consumer.pause(partitions)
        self._metrics.rebalances.inc()
        self._metrics.partitions.set(len(partitions))
        _log.info("lane.assigned", policy=self.policy.name, partitions=len(partitions))

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Everything open belongs to these partitions, and must be ended before another member may have them."""
        if consumer is not self._consumer:
            return
        started = time.monotonic()
        records = self._tally.records
        if self._delivery.give_back(consumer, self._where()):
            self._done(started)
        elif records:
            self._metrics.aborted("rebalance")
        self._drop_partitions()

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """They are another member's already."""
        if consumer is not self._consumer:
            return
        if self._delivery.is_open:
            self._delivery.abort()
            self._metrics.aborted("rebalance")
        self._drop_partitions()

    def _drop_partitions(self) -> None:
        self._moved = True
        self.partitions = ()
        self._tally = Tally()
        self._positions.clear()
        self._behind.clear()
        self._metrics.partitions.set(0)
        self._metrics.lag.set(0)


def _headers(messages: list[Message]) -> list[Headers | None]:
    """The headers of each message.

    For a name that is not UTF-8 the library sets an error and returns a list with a hole in it all the same (measured,
    confluent-kafka 2.16). Called by way of C, Python notices at once; otherwise the error turns up anywhere later. A
    second time, the message gives the list with the hole and no error, so nobody asks twice.
    """
    found: list[Headers | None] = []
    asked = map(_Message.headers, messages)
    while len(found) < len(messages):
        try:
            found.extend(asked)
        except (UnicodeDecodeError, SystemError):  # what was found before stays in the list
            found.append(_UNREADABLE)
    return found


def _folded(partitions: list[int], count: int) -> list[int]:
    """Output partitions: the source's own number, modulo the output's count where it has fewer."""
    return partitions if max(partitions) < count else [partition % count for partition in partitions]
