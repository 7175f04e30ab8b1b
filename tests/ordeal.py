"""The ordeal of exactly-once: a service that is killed, suspended, joined and left while it works at full speed.

Each trial of `TRIALS` strikes in the middle of work: records are waiting whenever one begins, which is noted.
Afterwards everything is read to its end, and `tests.audit` closes the books.
"""

import json
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Any

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from confluent_kafka.cimpl import NewTopic

from streamguard.crypto.aead import open_original, open_token
from tests.audit import Audit, audit
from tests.load import CLEAN_MAX_MESSAGE_BYTES, SCHEMA, Load, Writer, policy_text
from tests.servers import unique
from tests.service import Folder, Running, is_alive, send
from tests.waiting import until

PARTITIONS = 6
SESSION_TIMEOUT_MS = 6_000  # the shortest that brokers allow by default
TRANSACTION_TIMEOUT_MS = 10_000
_DIES_WITHIN = 20.0  # seconds for children to follow their parent
_QUIET = 90.0  # seconds to finish what is waiting, once it is left in peace


class Site:
    """Topics of a load, the service's folder, and what is known from outside about how far it is."""

    def __init__(self, path: Path, bootstrap: str, *, partitions: int = PARTITIONS, **settings: Any) -> None:
        self.bootstrap = bootstrap
        self.partitions = partitions
        self.topic = unique("orders")
        self.topics = [self.topic, f"{self.topic}.clean", f"{self.topic}.violations"]
        self.load = Load(partitions)
        self.folder = Folder(
            path,
            bootstrap,
            {"orders.yaml": policy_text(self.topic)},
            {"orders.schema.json": SCHEMA},
            group=self.topic,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            **settings,
        )
        # A broker that is away is what some tests are about: no need to print it.
        quiet = {"bootstrap.servers": bootstrap, "log_level": 0}
        self._admin = AdminClient(quiet)
        # Not held up by open transactions: it is about progress, not about truth.
        group = {"group.id": f"{self.topic}.orders", "isolation.level": "read_uncommitted"}
        self._watcher = Consumer(quiet | group)

    def create_topics(self) -> None:
        """The source, and the clean topic with a limit that some records exceed; the service makes the other."""
        wanted = [
            NewTopic(self.topic, self.partitions, 1),
            NewTopic(
                f"{self.topic}.clean",
                self.partitions,
                1,
                config={"max.message.bytes": str(CLEAN_MAX_MESSAGE_BYTES)},
            ),
        ]
        for created in self._admin.create_topics(wanted).values():
            created.result(timeout=60)

    def close(self) -> None:
        """Delete the topics, and let go of the broker."""
        self._watcher.close()
        for deleted in self._admin.delete_topics([*self.topics, f"{self.topic}.control"]).values():
            deleted.exception(timeout=30)

    def write(self, count: int) -> None:
        """The first `count` records of the load."""
        Writer(self.bootstrap, self.topic, self.load).write(count)

    def committed(self) -> int:
        """Offsets behind the service, over all partitions; waits for a broker that has just come back."""
        wanted = [TopicPartition(self.topic, partition) for partition in range(self.partitions)]
        deadline = time.monotonic() + _QUIET
        while True:
            try:
                found = self._watcher.committed(wanted, timeout=30)
                return sum(max(0, where.offset) for where in found)
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def end(self) -> int:
        """Offsets that the source has, over all partitions."""
        wanted = {
            TopicPartition(self.topic, partition): OffsetSpec.latest() for partition in range(self.partitions)
        }
        return sum(found.result(timeout=60).offset for found in self._admin.list_offsets(wanted).values())

    def until_done(self, service: Running, within: float = _QUIET) -> None:
        """Wait until everything is committed. Markers at a partition's end count as soon as the service says so."""

        def done() -> bool:
            assert service.process.poll() is None, f"it ended; {service.last_words()}"
            return self.committed() == self.end()

        until(done, within=within, what=lambda: f"all is processed; {service.last_words()}")

    def close_books(self, progress: Callable[[int], object] = lambda _: None) -> Audit:
        """Wait for the last open transaction to be decided, and audit."""
        keyring = self.folder.keyring()
        until(self._decided, within=3 * TRANSACTION_TIMEOUT_MS / 1000, what="no transaction is open any more")
        return audit(
            self.bootstrap,
            self.topic,
            self.load,
            policy=self.folder.policy_stamp("orders"),
            reveal=lambda token: open_token(token, keyring),
            open_original=lambda token, identity: open_original(token, identity, keyring),
            progress=progress,
        )

    def _decided(self) -> bool:
        ends = []
        for isolation in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED):
            wanted = {
                TopicPartition(topic, partition): OffsetSpec.latest()
                for topic in self.topics[1:]
                for partition in range(self.partitions)
            }
            found = self._admin.list_offsets(wanted, isolation_level=isolation)
            ends.append({where: answer.result(timeout=60).offset for where, answer in found.items()})
        return ends[0] == ends[1]


class Feed:
    """Writes the load in the background, never more than it is allowed to."""

    def __init__(self, site: Site, count: int) -> None:
        self._writer = Writer(site.bootstrap, site.topic, site.load)
        self._count = count
        self._allowed = 0
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._thread.start()

    @property
    def written(self) -> int:
        """Records written so far."""
        return self._writer.written

    def allow(self, total: int) -> None:
        """So many records may be written by and by."""
        with self._changed:
            self._allowed = min(total, self._count)
            self._changed.notify()

    def finish(self, within: float = 120.0) -> None:
        """Write the rest, and wait for it."""
        self.allow(self._count)
        self._thread.join(within)
        if self._error is not None:
            raise self._error
        assert self.written == self._count, f"only {self.written} records could be written"

    def _run(self) -> None:
        try:
            while self.written < self._count:
                with self._changed:
                    self._changed.wait_for(lambda: self._allowed > self.written)
                    allowed = self._allowed
                self._writer.write(min(allowed - self.written, 5_000))
        except BaseException as error:  # noqa: BLE001 - told by finish
            self._error = error


@dataclass(frozen=True, slots=True)
class Trial:
    """What was done to the service, how many offsets were behind it and before it, and how long it took."""

    name: str
    committed: int
    waiting: int
    seconds: float


@dataclass
class Ordeal:
    """One ordeal over `count` records. `tell` hears of each trial before it begins, and of records done."""

    site: Site
    count: int
    tell: Callable[[str, int], object] = lambda _name, _committed: None
    trials: list[Trial] = field(default_factory=list)
    kills: int = 0
    moves: int = 0

    def run(self) -> Audit:
        """All trials, a quiet end, and the books."""
        step = self.count // (len(TRIALS) + 1)
        with ExitStack() as self._guests:
            self._feed = Feed(self.site, self.count)
            self._feed.allow(step)
            self.service = self._start()
            self.guest: Running | None = None
            try:
                for number, (name, trial) in enumerate(TRIALS.items()):
                    self._feed.allow((number + 2) * step)
                    self._work(step // 3)
                    self._endure(name, trial)
                self.tell("the rest in peace", self.site.committed())
                self._feed.finish()
                self.site.until_done(self.service)
                assert self.service.stop() == 0, self.service.last_words()
            finally:
                self.service.kill()
        return self.site.close_books()

    # -- What trials are made of -------------------------------------------------------------------------------------

    def _start(self, processes: int = 2, slot: str = "proof") -> Running:
        return self.site.folder.start("--processes", str(processes), "--slot", slot)

    def _work(self, offsets: int) -> None:
        """Let the service commit so many offsets in peace."""
        begun = self.site.committed()
        until(
            lambda: self.site.committed() >= begun + offsets,
            within=_QUIET,
            what=lambda: f"progress from {begun}; {self.service.last_words()}",
        )

    def _endure(self, name: str, trial: Callable[["Ordeal"], None]) -> None:
        committed = self.site.committed()
        waiting = self.site.end() - committed
        self.tell(name, committed)
        began = time.monotonic()
        trial(self)
        self.trials.append(Trial(name, committed, waiting, time.monotonic() - began))

    def _children(self, count: int = 2) -> list[int]:
        until(lambda: len(self.service.children()) == count, what=f"there are {count} children")
        return self.service.children()

    def _kill_children(self, *which: int) -> None:
        killed = {self._children()[number] for number in which}
        for pid in killed:
            self._kill(pid)

        def started_again() -> bool:
            now = self.service.children()
            return len(now) == 2 and not killed & set(now)

        until(started_again, what=lambda: f"the parent starts them again; {self.service.last_words()}")

    def _kill(self, pid: int) -> None:
        send(pid, SIGKILL)
        self.kills += 1

    def _kill_parent(self) -> None:
        children = self.service.children()
        self._kill(self.service.pid)
        self.service.process.wait()
        until(
            lambda: not any(map(is_alive, children)),
            within=_DIES_WITHIN,
            what="the children die with their parent",
        )

    def _owners(self, service: Running) -> dict[str, list[int]]:
        """The partitions of each slot, as its health tells."""
        slots = json.loads(service.get("/health/ready")[1])["slots"]
        return {slot["slot"]: [p for lane in slot["lanes"] for p in lane["partitions"]] for slot in slots}


def _child_killed(ordeal: Ordeal) -> None:
    ordeal._kill_children(0)


def _other_child_killed(ordeal: Ordeal) -> None:
    ordeal._kill_children(1)


def _parent_killed(ordeal: Ordeal) -> None:
    ordeal._kill_parent()
    ordeal.service = ordeal._start()


def _killed_while_it_starts(ordeal: Ordeal) -> None:
    ordeal._kill_parent()
    ordeal.service = ordeal._start()
    until(ordeal.service.children, what="there is a child")
    ordeal._kill_parent()
    ordeal.service = ordeal._start()


def _guest_joins(ordeal: Ordeal) -> None:
    """A second service joins the group: partitions move to it."""
    guest = ordeal._guests.enter_context(ordeal.site.folder.running("--slot", "guest"))
    until(lambda: any(ordeal._owners(guest).values()), what="the guest gets partitions")
    ordeal.guest = guest
    ordeal.moves += 1


def _guest_killed(ordeal: Ordeal) -> None:
    """Its partitions move back once its session is over."""
    assert ordeal.guest is not None
    ordeal._kill(ordeal.guest.pid)
    ordeal.service.until_ready()

    def all_back() -> bool:
        return sum(map(len, ordeal._owners(ordeal.service).values())) == PARTITIONS

    until(all_back, what="the guest's partitions move back")
    ordeal.moves += 1


def _child_suspended(ordeal: Ordeal) -> None:
    """Stopped in the middle of its work until another has its partitions, and woken: it must not go on with them."""
    ordeal.service.until_ready()
    before = ordeal._owners(ordeal.service)
    slots = json.loads(ordeal.service.get("/health/ready")[1])["slots"]
    pid, slot = slots[0]["pid"], slots[0]["slot"]
    send(pid, SIGSTOP)

    def moved() -> bool:
        return any(
            len(found) == PARTITIONS for name, found in ordeal._owners(ordeal.service).items() if name != slot
        )

    until(moved, what=f"the partitions {before} move to another")
    send(pid, SIGCONT)
    ordeal.moves += 1


def _both_children_killed(ordeal: Ordeal) -> None:
    ordeal._kill_children(0, 1)


def _grown(ordeal: Ordeal) -> None:
    """Stopped in good order, and started with three processes."""
    assert ordeal.service.stop() == 0, ordeal.service.last_words()
    ordeal.service = ordeal._start(processes=3)
    ordeal.service.until_ready()
    ordeal.moves += 1


def _shrunk(ordeal: Ordeal) -> None:
    """Killed, and started with two processes again: the third slot never comes back."""
    ordeal._kill_parent()
    ordeal.service = ordeal._start()


TRIALS: dict[str, Callable[[Ordeal], None]] = {
    "a child is killed": _child_killed,
    "the parent is killed": _parent_killed,
    "another service joins": _guest_joins,
    "a child is killed while there is a guest": _other_child_killed,
    "the guest is killed": _guest_killed,
    "a child is suspended until others have its partitions, and woken": _child_suspended,
    "both children are killed": _both_children_killed,
    "it is killed, and killed again while it starts": _killed_while_it_starts,
    "it is stopped, and started with three processes": _grown,
    "it is killed, and started with two": _shrunk,
    "the other child is killed": _other_child_killed,
    "the parent is killed once more": _parent_killed,
}
