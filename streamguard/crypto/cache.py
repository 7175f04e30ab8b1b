"""What stays in memory for a while, and is not asked for again meanwhile: keys, above all."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Values by name, each for `seconds` from when it was put here, and `most` at a time: the oldest goes first.

    None outlives its time by more than a call. Thread-safe; `clock` gives seconds that only grow.
    """

    def __init__(self, seconds: float, most: int, clock: Callable[[], float]) -> None:
        self.seconds = seconds
        self.most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, name: K) -> V | None:
        """The value of this name; None when it is not here, or not any more."""
        return self.get_many([name]).get(name)

    def get_many(self, names: Iterable[K]) -> dict[K, V]:
        """The values of these names, as far as they are here."""
        with self._lock:
            self._drop_old()
            kept = self._kept
            return {name: kept[name][1] for name in names if name in kept}

    def put(self, name: K, value: V) -> None:
        """Keep a value from now on."""
        with self._lock:
            self._drop_old()
            self._kept.pop(name, None)
            while len(self._kept) >= self.most:
                self._kept.popitem(last=False)
            self._kept[name] = (self._clock() + self.seconds, value)

    def pop(self, name: K) -> None:
        """Keep it no longer."""
        with self._lock:
            self._kept.pop(name, None)

    def _drop_old(self) -> None:
        now = self._clock()
        while self._kept and next(iter(self._kept.values()))[0] <= now:
            self._kept.popitem(last=False)
