"""What stands in the open transaction; it counts once that is committed."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass, field

from streamguard.guard.batch import Batch
from streamguard.guard.violation import Violation
from streamguard.metrics import LaneMetrics


@dataclass(slots=True)
class Tally:
    """Sums over all slices. `began`: when the first was taken (monotonic seconds); `last`: the last record's place."""

    records: int = 0
    clean: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    oldest_ms: int = 2**63 - 1
    began: float = math.inf
    last: tuple[int, int] = (0, 0)
    violations: Counter[str] = field(default_factory=Counter)

    def add(self, batch: Batch, violations: list[Violation], clean_bytes: int, began: float) -> None:
        """Take in a slice with its outcome; `clean_bytes` is the size of what leaves to the clean topic."""
        self.began = min(self.began, began)
        self.records += len(batch.values)
        self.clean += len(batch.live)
        self.bytes_in += sum(map(len, filter(None, batch.values))) + sum(map(len, filter(None, batch.keys)))
        self.bytes_out += clean_bytes + sum(len(violation.body) for violation in violations)
        self.violations.update(violation.code for violation in violations)
        self.oldest_ms = min(self.oldest_ms, *batch.timestamps)
        self.last = batch.partitions[-1], batch.offsets[-1]

    def report(self, metrics: LaneMetrics, now: float) -> None:
        """Everything is committed, as of `now` (monotonic seconds)."""
        if not self.records:
            return
        metrics.records_in.inc(self.records)
        metrics.records_clean.inc(self.clean)
        metrics.bytes_in.inc(self.bytes_in)
        metrics.bytes_out.inc(self.bytes_out)
        metrics.violations(self.violations)
        metrics.batch_seconds.observe(now - self.began)
        metrics.end_to_end_seconds.observe(max(0.0, time.time() - self.oldest_ms / 1000))
