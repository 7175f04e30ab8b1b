"""Telling a second process under the same slot from a mishap: both look the same, a process is thrown out (fenced)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from streamguard.errors import StreamGuardError

_WITHIN: Final = 60.0  # seconds within which a second fencing means that there is a rival


class SlotInUseError(StreamGuardError):
    """Another process works under the same slot: the two would throw each other out for ever."""

    def __init__(self, slot: str) -> None:
        super().__init__(
            f"Slot '{slot}' is in use elsewhere: another process took over its transactions or its place in the group.",
            "Give each process a slot of its own (--slot), and look for a second copy of this one.",
        )


class Rivals:
    """Fenced once, we come back; fenced again soon after, there is a rival, and we give way.

    Not so after a lost connection. A consumer whose session ended with it joins anew while its last heartbeat is under
    way, and fences itself (librdkafka, issue 3437); a producer finds its transaction ended. `clock` counts seconds.
    """

    def __init__(self, slot: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._slot = slot
        self._clock = clock
        self._fenced_at = -math.inf
        self._disconnected_at = -math.inf

    def disconnected(self) -> None:
        """A connection was lost."""
        self._disconnected_at = self._clock()

    def fenced(self) -> None:
        """We were thrown out. Raises SlotInUseError when it was by a rival."""
        now = self._clock()
        if now - self._disconnected_at < _WITHIN:
            return
        if now - self._fenced_at < _WITHIN:
            raise SlotInUseError(self._slot)
        self._fenced_at = now
