"""SIGTERM, SIGINT and SIGHUP, from the first moment of a process to its last.

Installed before anything else and never removed: asyncio's own handlers would leave gaps at both ends, in which a
second Ctrl-C prints a traceback and a SIGHUP kills.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

from streamguard import logs

log = logs.get(__name__)


class Signals:
    """What the process is told from outside. Until `deliver_to` a stop ends it at once, and a reload has no sense.

    As a context, it holds on to that end: an extension module that is interrupted in the middle of something may make
    another exception of it, or none (the Kafka client does while it reads its arguments).
    """

    def __init__(self) -> None:
        self._ended = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Callable[[], None] = lambda: None
        self._reload: Callable[[], None] = lambda: None
        self._had_terminal = _terminal()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def deliver_to(
        self, loop: asyncio.AbstractEventLoop, *, stop: Callable[[], None], reload: Callable[[], None]
    ) -> None:
        """Have signals call these on `loop` from now on; when it is closed they are ignored."""
        if self._ended:
            sys.exit(0)
        self._stop, self._reload, self._loop = stop, reload, loop

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ended:
            sys.exit(0)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        hung_up = number == signal.SIGHUP and self._had_terminal and not _terminal()
        stopping = number != signal.SIGHUP or hung_up
        if self._loop is None:
            if stopping:
                self._ended = True
                sys.exit(0)
        elif not self._loop.is_closed():
            name = signal.Signals(number).name
            self._loop.call_soon_threadsafe(self._tell, name, self._stop if stopping else self._reload)

    def _tell(self, name: str, whom: Callable[[], None]) -> None:
        log.info("process.signal", signal=name)
        whom()


def _terminal() -> bool:
    """Whether this process has a terminal now: closing its window sends SIGHUP too, and means an end, not a reload."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
