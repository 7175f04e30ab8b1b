"""One slice of records on its way through the corridor, as columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from streamguard.guard.violation import Finding

Headers = list[tuple[str, bytes | None]]


class Batch:
    """Up to 256 records of one topic: what came in, the documents they decode to, and what goes out.

    Every column has one entry per row. A row is *live* until a stage rejects it; `live` is refreshed between stages,
    so that everything one stage finds is listed. Tombstones (null values) have no document: they stand in
    `tombstones` while stages run and return to `live` at the end. `key_ids` names, by path, the keys of protected
    fields whose values do not name them. `payloads` are the values without their frames. Out columns hold meaningful
    values for live rows only.
    """

    __slots__ = (
        "documents", "findings", "headers", "key_ids", "keys", "live", "offsets", "out_headers", "out_keys",
        "out_timestamps", "out_values", "partitions", "payloads", "places", "timestamps", "tombstones", "topic",
        "values",
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
        self.payloads = values
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

    @property
    def live_documents(self) -> list[Any]:
        """The documents of the live rows, to read: the column itself where all rows are live, as they mostly are."""
        if len(self.live) == len(self.documents):
            return self.documents
        return [self.documents[row] for row in self.live]

    def part(self, rows: list[int]) -> Batch:
        """Some rows as a batch of their own, as they came in."""
        part = Batch(
            self.topic,
            [self.values[row] for row in rows],
            keys=[self.keys[row] for row in rows],
            headers=[self.headers[row] for row in rows],
            timestamps=[self.timestamps[row] for row in rows],
            partitions=[self.partitions[row] for row in rows],
            offsets=[self.offsets[row] for row in rows],
        )
        part.payloads = [self.payloads[row] for row in rows]
        return part

    def merge(self, parts: Iterable[tuple[list[int], Batch]]) -> None:
        """Take over the outcome of rows that went through a corridor by themselves. All others have findings."""
        count = len(self.values)
        self.live = []
        self.out_keys, self.out_values = [None] * count, [None] * count
        self.out_headers, self.out_timestamps = [[]] * count, [0] * count
        for rows, part in parts:
            self.findings |= {rows[index]: found for index, found in part.findings.items()}
            self.live += [rows[index] for index in part.live]
            for index, row in enumerate(rows):
                self.out_keys[row] = part.out_keys[index]
                self.out_values[row] = part.out_values[index]
                self.out_headers[row] = part.out_headers[index]
                self.out_timestamps[row] = part.out_timestamps[index]
        self.live.sort()

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
