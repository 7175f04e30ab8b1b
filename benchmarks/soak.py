"""Memory of the service over millions of records: it has to stay flat."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression
from typing import Final

from benchmarks.broker import Broker
from benchmarks.contenders import StreamGuard
from benchmarks.records import orders
from benchmarks.window import START_WITHIN, Stalled

EVERY: Final = 100_000  # records from one look at the memory to the next
SETTLED: Final = 0.25  # of all records: until then buffers, caches and the allocator's pools fill up
_MB: Final = 1024 * 1024


@dataclass(frozen=True)
class Memory:
    """Resident memory by records done, and its slope once settled, in megabytes per million records."""

    samples: list[tuple[int, float]]

    @property
    def slope(self) -> float:
        """The straight line through the settled samples, by least squares."""
        last = self.samples[-1][0]
        settled = [(done / 1e6, mb) for done, mb in self.samples if done >= last * SETTLED]
        return linear_regression(*zip(*settled, strict=True)).slope

    def as_json(self) -> dict[str, object]:
        """Samples and slope."""
        return {"samples": self.samples, "slope_mb_per_million": self.slope}


def measure(broker: Broker, *, records: int, folder: Path, say: Callable[[str], None]) -> Memory:
    """Run the service over `records` records."""
    source = broker.create_topic("orders")
    say(f"soak: filling a topic with {records:,} records")
    broker.fill(source, orders(20_000), records)
    samples: list[tuple[int, float]] = []
    with StreamGuard("soak").between(broker, source, folder) as running:
        moved = time.monotonic()
        done = 0
        while not samples or samples[-1][0] < records:
            running.program.check()
            before, done = done, running.progress.committed()
            if done > before:
                moved = time.monotonic()
            if time.monotonic() > moved + START_WITHIN:
                raise Stalled(f"nothing committed for {START_WITHIN:.0f} s")
            if done // EVERY > (samples[-1][0] // EVERY if samples else 0) or done == records:
                samples.append((done, running.program.rss() / _MB))
                say(f"soak: {done:,} of {records:,} records, {samples[-1][1]:.1f} MB")
            time.sleep(0.05)
    broker.delete_topics(source)
    return Memory(samples)
