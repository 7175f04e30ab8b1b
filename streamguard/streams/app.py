"""One process of the service: a Faust worker that supervises the lanes and hears the control topic.

Each lane is a `mode.Service` of the Faust app (`lanes.LaneService`), so it starts and ends with it, and a crash of
Faust ends the lanes in good order and the process with an error: whoever supervises the process starts it again, and
what was found wrong is then told by the checks before the start. Records never go through Faust, so nothing of its own
consumer's troubles reaches them: an aiokafka that loses its broker for minutes just comes back (measured).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import time
from typing import Any, Final

import faust
from prometheus_client import CONTENT_TYPE_LATEST, disable_created_metrics, generate_latest

from streamguard import logs
from streamguard.errors import StreamGuardError
from streamguard.guard.heap import settle
from streamguard.metrics import RELOADS
from streamguard.streams.agents.control import Command, add_control_agent, topic_of
from streamguard.streams.faustconfig import faust_settings
from streamguard.streams.keywatch import KeyWatch
from streamguard.streams.lanes import Lanes, Reload
from streamguard.streams.lifeline import RIVAL, Lifeline, Message
from streamguard.streams.signals import Signals
from streamguard.streams.startup import Prepared
from streamguard.streams.strangers import warn_of_strangers
from streamguard.streams.web import serve

log = logs.get(__name__)

_STATUS_EVERY: Final = 0.5  # seconds between a child's reports to its parent
_KEYS_DESTROYED_EVERY: Final = 3600.0  # seconds; what is due is due by the day

# A Faust consumer that is stopped while it joins its group may lose its thread and wait 60 s for it (mode 0.7: seen
# once in 24 stops). Once the lanes have ended there is nothing that it could lose.
_FAUST_ENDS_WITHIN: Final = 2.0

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more per counter, and none with --processes


class ControlApp(faust.App):
    """A Faust app without tables has nothing to keep, so it makes no folder."""

    async def on_first_start(self) -> None:
        return


class Worker(faust.Worker):
    """Faust's worker without what it does to a terminal, to logging and to signals: those are ours."""

    def __init__(self, app: faust.App, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(app, override_logging=False, redirect_stdouts=False, quiet=True, loop=loop)
        self.spinner = None
        self.listening = False

    def install_signal_handlers(self) -> None:
        return

    async def on_startup_finished(self) -> None:
        self.listening = True


def make_app(prepared: Prepared) -> faust.App:
    """The Faust app of this process. Its id, and with it its consumer group, is the slot's own: all hear everything."""
    control = topic_of(prepared.service.group)
    return ControlApp(
        f"{control}.{prepared.slot.name}",
        **faust_settings(prepared.service.kafka),
        autodiscover=False,
        env_prefix="STREAMGUARD_FAUST",  # otherwise DEBUG or WEB_PORT in somebody's environment would be Faust's too
        store="memory://",
        web_enabled=False,
        web_tables_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",  # what is older than this process is skipped by offset
        broker_session_timeout=10.0,  # after a SIGKILL the slot's next process waits so long for its place
        broker_heartbeat_interval=3.0,
        broker_request_timeout=30.0,
        stream_wait_empty=False,
    )


class Process:
    """Runs until it is told to stop, a lane needs a person, or Faust gives up.

    With a `lifeline` it is one of several children: its health goes to the parent and reloads come from there.
    """

    def __init__(self, prepared: Prepared, signals: Signals, *, keep_going: bool = False) -> None:
        self._prepared = prepared
        self._signals = signals
        self._keep_going = keep_going
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._stopping = False
        self._reload_lock = asyncio.Lock()
        self._read: Reload | None = None
        self._lifeline: Lifeline | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._lanes = Lanes(prepared, self._notice)
        self._keys = KeyWatch(prepared.keyring)
        settle()
        self._app = make_app(prepared)
        self._worker = Worker(self._app, self._loop)

    async def run(self, listener: socket.socket | None, lifeline: socket.socket | None) -> int:
        """Serve on `listener`, or report over `lifeline`; returns the exit code."""
        prepared = self._prepared
        logs.watch(self._loop)
        self._signals.deliver_to(self._loop, stop=self._stop, reload=lambda: self._soon(self.reload()))
        add_control_agent(
            self._app,
            topic_of(self._prepared.service.group),
            self._prepared.standing.positions,
            self._carry_out,
        )
        for service in self._lanes.services:
            await self._app.add_runtime_dependency(service)
        async with contextlib.AsyncExitStack() as until_the_end:
            if listener is not None:
                await until_the_end.enter_async_context(serve(listener, self))
            if lifeline is not None:
                self._lifeline = await Lifeline.open(lifeline)
                self._soon(self._listen(self._lifeline))
                self._soon(self._report(self._lifeline))
            self._keys.start()
            until_the_end.callback(self._keys.stop)
            self._soon(self._destroy_expired_keys())
            self._soon(
                warn_of_strangers(prepared.keyring, prepared.service, prepared.slot, list(prepared.policies))
            )
            log.info("process.started", pid=os.getpid(), count=len(self._lanes.services))
            worker = asyncio.create_task(self._worker.start())
            worker.add_done_callback(lambda _: self._wake.set())
            await self._until_over(worker)
            return await self._shut_down(worker)

    # -- The end -------------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def _notice(self) -> None:
        """A lane's state has changed. Called in any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process is ending
            self._loop.call_soon_threadsafe(self._wake.set)

    async def _until_over(self, worker: asyncio.Task[None]) -> None:
        while not (self._stopping or worker.done() or self._given_up):
            self._wake.clear()
            await self._wake.wait()

    @property
    def _given_up(self) -> bool:
        return bool(self._lanes.failed) and (not self._keep_going or self._lanes.all_ended)

    async def _shut_down(self, worker: asyncio.Task[None]) -> int:
        """End the lanes first, then Faust, within the service's time; what takes longer is cut off."""
        until = time.monotonic() + 0.9 * self._prepared.service.stop_timeout_ms / 1000
        crashed = self._note_crash(worker)
        ended = await self._lanes.stop(0.8 * (until - time.monotonic()))
        if not ended:
            log.warning("process.lanes_cut_off")
        stop = asyncio.ensure_future(self._worker.stop())
        await asyncio.wait({stop}, timeout=max(0.1, min(_FAUST_ENDS_WITHIN, until - time.monotonic())))
        code = 1 if crashed or self._lanes.failed else 0
        if self._lifeline is not None and self._lanes.has_rival:
            code = RIVAL
        log.info("process.stopped", exit_code=code)
        if not (ended and stop.done()):
            # A thread that hangs in a library would keep the interpreter from ending. What a lane had open in Kafka is
            # aborted there, when the slot comes back or after the transaction timeout.
            sys.stderr.flush()
            os._exit(code)
        for task in self._tasks:
            task.cancel()
        return code

    def _note_crash(self, worker: asyncio.Task[None]) -> bool:
        """Log what ended Faust, if it ended by itself."""
        error = worker.exception() if worker.done() and not worker.cancelled() else None
        error = error or self._app.crash_reason or self._worker.crash_reason
        if error is not None:
            log.error("faust.crashed", error=error)
        return error is not None or (worker.done() and not self._stopping)

    # -- Reload --------------------------------------------------------------------------------------------------

    async def reload(self, offset: int = -1) -> None:
        """Read all policies anew and apply them, or none of them; of several children the parent sees to that."""
        if self._lifeline is not None:
            self._lifeline.send({"wants": "reload", "offset": offset})
            return
        async with self._reload_lock:
            try:
                self._read = await asyncio.to_thread(self._lanes.read)
            except StreamGuardError as error:
                RELOADS.labels("refused").inc()
                log.error("reload.refused", error=error)
            else:
                self._apply_reload()

    async def _prepare_reload(self) -> Message:
        """The first half of a reload, for the parent: read and compile, and say how that went."""
        self._read = None
        try:
            self._read = await asyncio.to_thread(self._lanes.read)
        except StreamGuardError as error:
            RELOADS.labels("refused").inc()
            return {"message": error.message, "remedy": error.remedy}
        return {"versions": self._read.versions}

    def _apply_reload(self) -> None:
        if self._read is None:
            return
        self._lanes.apply(self._read)
        for name, guard in self._read.guards.items():
            log.info("reload.policy", policy=name, version=guard.version)
        RELOADS.labels("applied").inc()
        log.info("reload.done", count=len(self._read.guards))
        self._read = None

    async def _carry_out(self, command: Command, offset: int) -> None:
        if command.policy is None:
            await self.reload(offset)
        elif command.verb == "pause":
            self._lanes.pause(command.policy)
        else:
            self._lanes.resume(command.policy)

    async def _destroy_expired_keys(self) -> None:
        """Keep what ``quarantine: {retain: …}`` promises: every process looks, and one finds what is due."""
        while True:
            try:
                await asyncio.to_thread(self._prepared.keyring.destroy_expired)
            except StreamGuardError as error:
                log.warning("keys.not_destroyed", error=error)
            await asyncio.sleep(_KEYS_DESTROYED_EVERY)

    # -- To and from the parent ----------------------------------------------------------------------------------

    def _soon(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _listen(self, lifeline: Lifeline) -> None:
        while message := await lifeline.receive():
            if message.get("do") == "prepare":
                lifeline.send({"prepared": message["reload"], **await self._prepare_reload()})
            elif message.get("do") == "apply":
                self._apply_reload()
        if not self._stopping:  # on Linux the kernel has been quicker
            os._exit(1)

    async def _report(self, lifeline: Lifeline) -> None:
        while True:
            lifeline.send({"status": self._status()})
            await asyncio.sleep(_STATUS_EVERY)

    # -- Health and metrics --------------------------------------------------------------------------------------

    def live(self) -> dict[str, Any]:
        """Alive is whoever answers."""
        return {"live": True}

    def ready(self) -> dict[str, Any]:
        """Ready when every lane is, and keys can be had."""
        status = self._status()
        return {"ready": status["ready"], "slots": [status]}

    def metrics(self) -> tuple[bytes, str]:
        """In Prometheus' text format."""
        return generate_latest(), CONTENT_TYPE_LATEST

    def _status(self) -> dict[str, Any]:
        lanes, keys = self._lanes.status(), self._keys.well
        return {
            "slot": self._prepared.slot.name,
            "state": "stopping" if self._stopping else "running",
            "ready": not self._stopping and keys and all(lane["ready"] for lane in lanes),
            "control": "listening" if self._worker.listening else "starting",
            "keys": "available" if keys else "unavailable",
            "lanes": lanes,
        }
