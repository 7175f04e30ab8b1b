"""Finding the record that a broker refused.

The broker reports the error for a whole batch of records, so which one it was is not known. Far fewer records go into
the next transaction, until one stands alone; each transaction that passes doubles the number, so the search ends soon
and progress is made meanwhile. The record that is found becomes a violation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from streamguard.guard.batch import Batch
from streamguard.streams.topics import REFUSED

_NARROWING: Final = 8  # a refusal costs about twenty commits: large steps down, small ones up
_EVERYTHING: Final = 1_000_000  # records per transaction, when nothing is looked for

Place = tuple[int, int]
"""Partition and offset."""


@dataclass(frozen=True, slots=True)
class Guilt:
    """Why a record that stood alone was refused (`delivery.REFUSALS`), and how often: first as itself."""

    refusal: str
    times: int


class Search:
    """How many records a transaction may hold until it is known who is guilty (`most`), and who is (`found`)."""

    def __init__(self) -> None:
        self.most = _EVERYTHING
        self.found: dict[Place, Guilt] = {}

    def narrow(self, records: int, last: Place, refusal: str) -> bool:
        """One of so many records was refused, of which `last` came last.

        False when it stood alone and is beyond help: refused as itself, as its violation, and as the violation without
        the original.
        """
        if records > 1:
            self.most = max(1, records // _NARROWING)
            return True
        times = self.found[last].times + 1 if last in self.found else 1
        self.found[last] = Guilt(refusal, times)
        return times <= 2

    def reject_found(self, batch: Batch) -> None:
        """Give the guilty among these records their finding."""
        for row, place in enumerate(zip(batch.partitions, batch.offsets, strict=True)):
            guilt = self.found.get(place)
            if guilt is not None and row not in batch.findings:
                batch.reject(row, REFUSED[guilt.refusal])
        batch.refresh()

    def refused_violation(self, place: Place) -> bool:
        """Whether even the violation of this record was refused: it must be shorter."""
        return place in self.found and self.found[place].times > 1

    def passed(self, positions: Mapping[int, int]) -> None:
        """A transaction was committed, up to these offsets by partition."""
        self.found = {
            (partition, offset): guilt
            for (partition, offset), guilt in self.found.items()
            if positions.get(partition, 0) <= offset
        }
        self.most = min(self.most * 2, _EVERYTHING)
