"""What holds a parent and its children together (`streamguard run --processes N`).

A socket pair per child carries one JSON object a line: the child's health upwards, reloads both ways. Its end is news
too: a child that reads it has no parent any more and ends at once. On Linux the kernel sees to that even for a child
that hangs.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import sys
from typing import Any, Final

import orjson

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_LONGEST_LINE: Final = 4_000_000  # bytes: a status with thousands of lanes

RIVAL: Final = 3
"""The exit code of a child whose slot is in use elsewhere. Started again, it would throw the other out, for ever."""

Message = dict[str, Any]


class Lifeline:
    """One end of the pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, end: socket.socket) -> Lifeline:
        """Take over one end of a socket pair."""
        reader, writer = await asyncio.open_connection(sock=end, limit=_LONGEST_LINE)
        return cls(reader, writer)

    async def receive(self) -> Message | None:
        """The next message; ``None`` when the other side is gone."""
        try:
            line = await self._reader.readline()
            message = orjson.loads(line) if line else None
        except (OSError, ValueError):  # reset, or cut off in the middle of a line
            return None
        return message if isinstance(message, dict) else None

    def send(self, message: Message) -> None:
        """Hand a message over, without waiting. Into the void when the other side is gone: `receive` tells."""
        if not self._writer.is_closing():
            self._writer.write(orjson.dumps(message) + b"\n")

    async def flush(self) -> None:
        """Wait until everything sent has left this process."""
        try:
            await self._writer.drain()
        except OSError:
            return

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


def pair() -> tuple[socket.socket, socket.socket]:
    """The parent's end and the child's end."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent`, its parent, ends. Ends it now when that has happened already.

    Call it before anything else. The signal is SIGKILL, so that a hanging child goes too: lanes lose and repeat nothing
    by it. Where the system is not Linux, the lifeline's end does the same for a child that does not hang.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
