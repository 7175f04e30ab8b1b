"""The same guard, called with one record at a time, as a framework that works per record has to."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.guards import reference_guard
from streamguard.guard.batch import Batch


def protector(topic: str) -> Callable[[bytes], bytes | None]:
    """A function from a record's value to what may leave; None where the guard found a violation."""
    guard = reference_guard()

    def protect(value: bytes) -> bytes | None:
        batch = Batch(topic, [value])
        guard.process(batch)
        return batch.out_values[0] if batch.live else None

    return protect
