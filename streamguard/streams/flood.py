"""Telling a bad deploy from bad records: too large a share of violations pauses the lane (``violation_limit``)."""

from __future__ import annotations

from collections import deque
from typing import Literal

from streamguard.policy.models import ViolationLimit


class Flood:
    """Watches the share of violations among the last `per` records, in steps of a slice."""

    def __init__(self, limit: ViolationLimit | Literal["off"]) -> None:
        self._limit = None if limit == "off" else limit
        self._slices: deque[tuple[int, int]] = deque()
        self._records = 0
        self._violations = 0
        self._allowed = False

    def rises(self, records: int, violations: int) -> bool:
        """Take in one slice; true when the share is over the limit, judged over `per` records at least."""
        if self._limit is None:
            return False
        self._slices.append((records, violations))
        self._records += records
        self._violations += violations
        while self._records - self._slices[0][0] >= self._limit.per:
            old_records, old_violations = self._slices.popleft()
            self._records -= old_records
            self._violations -= old_violations
        judged = self._records >= self._limit.per
        over = judged and self._violations > self._limit.ratio * self._records
        if self._allowed:
            self._allowed = over or not judged
            return False
        return over

    def forget(self) -> None:
        """Begin to count anew: what was counted is undone."""
        self._slices.clear()
        self._records = self._violations = 0

    def allow(self) -> None:
        """A person said that these records really are bad: let this flood pass, and warn of the next one."""
        self.forget()
        self._allowed = True
