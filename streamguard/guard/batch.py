"""One slice of records on its way through the corridor, as columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from streamguard.guard.violation import Finding

Headers = list[tuple[str, bytes | None]]


class Batch:
    """About 128 records of one topic: what came in, the documents they decode to, and what goes out.

    Every column has one entry per row. A row is *live* until a stage rejects it; `live` is refreshed between stages,
    so that everything one stage finds is listed. Tombstones (null values) have no document: they stand in
    `tombstones` while stages run and return to `live` at the end. `key_ids` names, by path, the keys of protected
    fields whose values do not name them. Out columns hold meaningful values for live rows only.
    """

    __slots__ = (
        "documents", "findings", "headers", "key_ids", "keys", "live", "offsets", "out_headers", "out_keys",
        "out_timestamps", "out_values", "partitions", "places", "timestamps", "tombstones", "topic", "values",
    )  # fmt: skip

    def __init__(
        self,
        topic: str,
        values: list[bytes | None],
        *,
        keys: list[bytes | None] | None = None,
        headers: list[Headers | None] | None = None,
        timestamps: list[int] | None = None,
        partitions: list[int] | None = None,
        offsets: list[int] | None = None,
    ) -> None:
        count = len(values)
        self.topic = topic
        self.values = values
        self.keys: list[bytes | None] = keys if keys is not None else [None] * count
        self.headers = headers if headers is not None else [None] * count
        self.timestamps = timestamps if timestamps is not None else [0] * count
        self.partitions = partitions if partitions is not None else [0] * count
        self.offsets = offsets if offsets is not None else list(range(count))
        self.documents: list[Any] = [None] * count
        self.findings: dict[int, list[Finding]] = {}
        self.live: list[int] = list(range(count))
        self.tombstones: list[int] = []
        self.key_ids: dict[str, str] = {}
        # Containers found on the way to leaves, by (path, expected type); valid until the next refresh.
        self.places: dict[Any, tuple[list[int], list[Any]]] = {}
        self.out_keys: list[bytes | None] = self.keys
        self.out_values: list[bytes | None] = [None] * count
        self.out_headers: list[Headers] = [[]] * count
        self.out_timestamps: list[int] = self.timestamps

    def row(self, row: int) -> Batch:
        """One row as a batch of its own, as it came in."""
        return Batch(
            self.topic,
            [self.values[row]],
            keys=[self.keys[row]],
            headers=[self.headers[row]],
            timestamps=[self.timestamps[row]],
            partitions=[self.partitions[row]],
            offsets=[self.offsets[row]],
        )

    def merge(self, rows: list[Batch]) -> None:
        """Take over the outcome of rows that went through the corridor by themselves, in their order."""
        self.findings = {row: one.findings[0] for row, one in enumerate(rows) if one.findings}
        self.live = [row for row, one in enumerate(rows) if one.live]
        self.out_keys = [one.out_keys[0] for one in rows]
        self.out_values = [one.out_values[0] for one in rows]
        self.out_headers = [one.out_headers[0] for one in rows]
        self.out_timestamps = [one.out_timestamps[0] for one in rows]

    def reject(self, row: int, finding: Finding) -> None:
        """Record a finding; the row leaves `live` at the end of the stage."""
        self.findings.setdefault(row, []).append(finding)

    def refresh(self) -> None:
        """Drop rejected rows from `live`, and forget which containers were found where."""
        self.places.clear()
        if self.findings:
            self.live = [row for row in self.live if row not in self.findings]

    def reject_all(self, rows: Iterable[int], finding: Finding) -> None:
        """The same finding for several rows."""
        for row in rows:
            self.reject(row, finding)
