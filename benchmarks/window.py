"""Speed between two commits.

A program is watched from outside while it works through a topic that was filled before: how far its consumer group
has committed, and how much CPU it has used. The window opens at a commit, after a warm-up, and closes at a later one,
before the topic runs dry. So neither the start of a program nor its idle end is in the figure, and what a program has
buffered but not committed does not count as done.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.processes import Program

START_WITHIN = 60.0  # seconds from the start of a program to its first commit
_LOOK_EVERY = 0.01


class Stalled(Exception):
    """A program under measurement does not get on."""


@dataclass(frozen=True)
class Speed:
    """What one program did in one window: records a second, and CPU time in microseconds a record."""

    rate: float
    cpu_us: float


@dataclass(frozen=True)
class _Point:
    time: float
    records: int
    cpu: float


def watch(program: Program, committed: Callable[[], int], *, total: int, seconds: float) -> Speed:
    """Measure for about `seconds`, or until 95 % of the topic's `total` records are committed.

    Raises Ended when the program ends by itself, Stalled when it commits nothing for a minute.
    """
    points = _Points(program, committed)
    first = points.next(START_WITHIN)
    opened = points.next(START_WITHIN)
    while opened.time < first.time + 1 and opened.records < total * 0.1:
        opened = points.next(START_WITHIN)
    closed = points.next(START_WITHIN)
    while closed.time < opened.time + seconds and closed.records < total * 0.95:
        after = points.next(START_WITHIN)
        if after.records == total:
            break  # it may have waited for a commit's time with nothing to do
        closed = after
    records = closed.records - opened.records
    return Speed(records / (closed.time - opened.time), (closed.cpu - opened.cpu) / records * 1e6)


class _Points:
    """Where a program stood each time it had committed something new."""

    def __init__(self, program: Program, committed: Callable[[], int]) -> None:
        self._program = program
        self._committed = committed
        self._last = 0

    def next(self, within: float) -> _Point:
        deadline = time.monotonic() + within
        while (records := self._committed()) == self._last:
            self._program.check()
            if time.monotonic() > deadline:
                raise Stalled(f"nothing committed for {within:.0f} s")
            time.sleep(_LOOK_EVERY)
        self._last = records
        return _Point(time.monotonic(), records, self._program.cpu())
