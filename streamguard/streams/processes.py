"""Several processes on one machine: `streamguard run --processes N`.

The parent starts N children, each a process of its own with a slot of its own, starts those again that end, and alone
serves health and metrics. It never touches a record. Python's one running thread per process is why: a lane's work is
bound by one core, so more cores need more processes.

Children are executed, never forked from a process with Kafka clients in it, and die with their parent (`lifeline`).
Reloads are two-phase: every child reads and compiles the new policies, and only when all of them could, and read the
same, each applies them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Sequence
from typing import Any, Final

from streamguard import logs
from streamguard.errors import ConfigError, StreamGuardError
from streamguard.metrics import RESTARTS
from streamguard.streams import shared_metrics
from streamguard.streams.child import Birth
from streamguard.streams.lifeline import RIVAL, Lifeline, Message, pair
from streamguard.streams.signals import Signals
from streamguard.streams.startup import Prepared
from streamguard.streams.web import serve

log = logs.get(__name__)

_LONGEST_BACKOFF: Final = 30.0  # seconds before an ended child is started again
_STEADY_AFTER: Final = 60.0  # seconds after which a child counts as having started well
_SILENT_AFTER: Final = 30.0  # seconds without a word after which a child that had spoken counts as hanging
_PREPARED_WITHIN: Final = 60.0  # seconds for all children to read new policies


class Child:
    """One place among the children, and the process that fills it now."""

    def __init__(self, number: int, slot: str) -> None:
        self.number = number
        self.slot = slot
        self.state = "starting"
        self.restarts = 0
        self.process: asyncio.subprocess.Process | None = None
        self.lifeline: Lifeline | None = None
        self.answer: asyncio.Future[Message] | None = None
        self._status: dict[str, Any] | None = None
        self._heard = 0.0

    def hear(self, status: dict[str, Any]) -> None:
        """Take in a report."""
        self.state = "running"
        self._status = status
        self._heard = time.monotonic()

    def forget(self, state: str) -> None:
        """The process is gone: nothing it said holds any more."""
        self.state = state
        self._status = None
        self.lifeline = None
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(
                {"message": f"Slot '{self.slot}' ended before it had read the new policies."}
            )

    @property
    def hangs(self) -> bool:
        """True when a process that had spoken has been silent for too long."""
        return self._status is not None and time.monotonic() - self._heard > _SILENT_AFTER

    def status(self) -> dict[str, Any]:
        """As health reports it."""
        told = self._status or {"slot": self.slot, "state": self.state, "ready": False, "lanes": []}
        pid = self.process.pid if self.process is not None and self._status else None
        return {**told, "pid": pid, "restarts": self.restarts}


class Parent:
    """Keeps `count` children running. `command` starts one; it is given ``--lifeline`` and its descriptor."""

    def __init__(
        self, prepared: Prepared, signals: Signals, *, count: int, command: Sequence[str], metrics: str
    ) -> None:
        self._prepared = prepared
        self._signals = signals
        self._command = list(command)
        self._metrics = metrics
        self._children = [Child(n, f"{prepared.slot.name}-{n}") for n in range(count)]
        self._stopping = asyncio.Event()
        self._reload_lock = asyncio.Lock()
        self._last_offset = -1
        self._reloads = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, listener: socket.socket) -> int:
        """Serve on `listener` until told to stop; returns the exit code."""
        loop = asyncio.get_running_loop()
        logs.watch(loop)
        self._signals.deliver_to(loop, stop=self._stopping.set, reload=lambda: self._soon(self.reload()))
        async with serve(listener, self):
            log.info("parent.started", pid=os.getpid(), processes=len(self._children))
            self._soon(self._end_who_hangs())
            codes = await asyncio.gather(*(self._keep(child) for child in self._children))
        code = max(codes)
        log.info("parent.stopped", exit_code=code)
        for task in self._tasks:
            task.cancel()
        return code

    def _soon(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- One child -----------------------------------------------------------------------------------------------

    async def _keep(self, child: Child) -> int:
        """Start a child's process, again and again, until we stop; returns what the last one ended with, 0 or 1."""
        backoff = 1.0
        while True:
            began = time.monotonic()
            try:
                code = await self._run(child)
            except OSError as error:  # no memory, no more processes
                log.error("parent.child_not_started", slot=child.slot, error=error)
                code = 1
            if self._stopping.is_set():
                return 0 if code in (0, -signal.SIGTERM) else 1  # told before it could listen to signals
            if code == RIVAL:
                log.error("parent.gives_way", slot=child.slot)
                self._stopping.set()
                return 1
            if time.monotonic() - began > _STEADY_AFTER:
                backoff = 1.0
            log.error("parent.child_ended", slot=child.slot, exit_code=code, seconds=backoff)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), backoff)
                return 0
            backoff = min(2 * backoff, _LONGEST_BACKOFF)
            child.restarts += 1
            RESTARTS.labels(child.slot).inc()

    async def _run(self, child: Child) -> int:
        """One process, from its start to its end."""
        ours, theirs = pair()
        with theirs:
            child.state = "starting"
            permanent = self._prepared.slot.permanent
            ours.sendall(Birth(os.getpid(), child.number, child.slot, permanent, self._metrics).encode())
            child.lifeline = await Lifeline.open(ours)
            descriptor = theirs.fileno()
            # In a session of its own, so that a Ctrl-C reaches it through us only, and once.
            child.process = await asyncio.create_subprocess_exec(
                *self._command, "--lifeline", str(descriptor),
                stdin=asyncio.subprocess.DEVNULL, pass_fds=[descriptor], start_new_session=True,
            )  # fmt: skip
        hearing = asyncio.create_task(self._hear(child, child.lifeline))
        stopping = asyncio.create_task(self._stop_when_told(child.process))
        code = await child.process.wait()
        stopping.cancel()
        await hearing
        child.forget("stopped" if self._stopping.is_set() else "restarting")
        shared_metrics.end_of(str(child.number), self._metrics)
        return code

    async def _hear(self, child: Child, lifeline: Lifeline) -> None:
        while message := await lifeline.receive():
            if "status" in message:
                child.hear(message["status"])
            elif "prepared" in message and child.answer is not None and not child.answer.done():
                if message["prepared"] == self._reloads:
                    child.answer.set_result(message)
            elif message.get("wants") == "reload":
                self._soon(self.reload(message["offset"]))
        lifeline.close()

    async def _stop_when_told(self, process: asyncio.subprocess.Process) -> None:
        await self._stopping.wait()
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
            await asyncio.sleep(0.95 * self._prepared.service.stop_timeout_ms / 1000)
            log.warning("parent.child_cut_off", pid=process.pid)
            process.kill()

    async def _end_who_hangs(self) -> None:
        """A child whose event loop stands still cannot say so; its successor takes over its slot."""
        while True:
            await asyncio.sleep(_SILENT_AFTER / 10)
            for child in self._children:
                if child.hangs and child.process is not None:
                    log.error("parent.child_hangs", slot=child.slot, pid=child.process.pid)
                    child.forget("hanging")
                    with contextlib.suppress(ProcessLookupError):
                        child.process.kill()

    # -- Reload --------------------------------------------------------------------------------------------------

    async def reload(self, offset: int = -1) -> None:
        """All children, or none. Several that ask because of one message at `offset` are answered once."""
        async with self._reload_lock:
            if -1 < offset <= self._last_offset:
                return
            self._last_offset = max(offset, self._last_offset)
            try:
                versions = await self._prepare()
            except StreamGuardError as error:
                log.error("reload.refused", error=error)
                return
            for child in self._children:
                if child.lifeline is not None:
                    child.lifeline.send({"do": "apply"})
            for name, version in sorted(versions.items()):
                log.info("reload.policy", policy=name, version=version)
            log.info("reload.done", processes=len(self._children))

    async def _prepare(self) -> dict[str, str]:
        """Have every child read the policies; returns their versions, equal everywhere. Raises StreamGuardError."""
        self._reloads += 1
        loop = asyncio.get_running_loop()
        for child in self._children:
            if child.state != "running" or child.lifeline is None:
                raise ConfigError(
                    f"Slot '{child.slot}' is not running now; nothing was reloaded.",
                    "Try again when /health/ready lists it: it reads the policies anew when it starts.",
                )
            child.answer = loop.create_future()
            child.lifeline.send({"do": "prepare", "reload": self._reloads})
        answers = [child.answer for child in self._children if child.answer is not None]
        _, late = await asyncio.wait(answers, timeout=_PREPARED_WITHIN)
        if late:
            raise ConfigError(
                f"Reading the new policies took more than {_PREPARED_WITHIN:.0f} s.", "Reload again."
            )
        for answer in answers:
            if "versions" not in answer.result():
                raise ConfigError(answer.result()["message"], answer.result().get("remedy", ""))
        versions: list[dict[str, str]] = [answer.result()["versions"] for answer in answers]
        if any(one != versions[0] for one in versions):
            raise ConfigError(
                "The policies changed while they were read; the old ones stay in force.", "Reload again."
            )
        return versions[0]

    # -- Health and metrics --------------------------------------------------------------------------------------

    def live(self) -> dict[str, Any]:
        """Alive is whoever answers; children that do not are started again by us."""
        return {"live": True}

    def ready(self) -> dict[str, Any]:
        """Ready when every child is."""
        slots = [child.status() for child in self._children]
        return {"ready": all(slot["ready"] for slot in slots) and not self._stopping.is_set(), "slots": slots}

    def metrics(self) -> tuple[bytes, str]:
        """The children's, put together, in Prometheus' text format."""
        return shared_metrics.put_together(self._metrics)
