"""Bounds on guessing: how many credentials from an address may fail before it has to wait."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

FAILURES: Final = 30
"""Credentials from one address that may fail within `FAILURES_PER`; then it has to wait.

Each is on the trail; of those that come while it has to wait, an entry for all within `FAILURES_PER`.
"""

FAILURES_PER: Final = 60.0
"""Seconds."""

_SOURCES_MOST: Final = 10_000


@dataclass(slots=True)
class _Source:
    """An address: when its credentials failed, and how many attempts were turned away since that was last told."""

    failed: deque[float] = field(default_factory=lambda: deque(maxlen=FAILURES))
    away: int = 0
    told: float = float("-inf")


class Failures:
    """How often credentials from an address failed lately. `clock` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sources: OrderedDict[str, _Source] = OrderedDict()

    def add(self, source: str) -> None:
        """One more."""
        with self._lock:
            self._sources.setdefault(source, _Source()).failed.append(self._clock())
            self._sources.move_to_end(source)
            while len(self._sources) > _SOURCES_MOST:
                self._sources.popitem(last=False)

    def wait(self, source: str) -> int:
        """For how many seconds this address must not try again; 0 when it may."""
        with self._lock:
            found = self._sources.get(source)
            if found is None or len(found.failed) < FAILURES:
                return 0
            left = found.failed[0] + FAILURES_PER - self._clock()
            return int(left) + 1 if left > 0 else 0

    def turned_away(self, source: str) -> int:
        """An attempt came in spite of that: for how many it is to be told now; 0 when it was told lately."""
        with self._lock:
            found = self._sources.get(source)
            if found is None:
                return 1
            found.away += 1
            now = self._clock()
            if now - found.told < FAILURES_PER:
                return 0
            attempts, found.away, found.told = found.away, 0, now
            return attempts

    def untold(self, source: str, attempts: int) -> None:
        """It could not be told: the next attempt tells of these, too."""
        with self._lock:
            if (found := self._sources.get(source)) is not None:
                found.away += attempts
                found.told = float("-inf")


def source_of(peer: str) -> str:
    """Whose failures count together: an address, and of IPv6 the 64 bits that one customer has all addresses behind."""
    try:
        address = ip_address(peer)
    except ValueError:
        return peer
    if not isinstance(address, IPv6Address):
        return peer
    return str(address.ipv4_mapped or ip_network((int(address), 64), strict=False))
