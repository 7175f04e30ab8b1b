"""Documents back to bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import orjson

from streamguard.guard.batch import Batch
from streamguard.guard.violation import Finding

ENCODE: Final = Finding("encode.json", "encode", "the protected document cannot be written as JSON")


class Encode:
    """Writes every live document as compact JSON."""

    stage = "encode"

    def apply(self, batch: Batch) -> None:
        """Fill `batch.out_values`; whatever JSON cannot hold is a finding, not an exception for the batch."""
        rows, documents, out = batch.live, batch.documents, batch.out_values
        try:
            encoded: Iterable[bytes | None] = list(map(orjson.dumps, [documents[row] for row in rows]))
        except TypeError:  # orjson.JSONEncodeError; its text may hold the document
            encoded = [self._one(batch, row) for row in rows]
        for row, value in zip(rows, encoded, strict=True):
            out[row] = value

    def _one(self, batch: Batch, row: int) -> bytes | None:
        try:
            return orjson.dumps(batch.documents[row])
        except TypeError:
            batch.reject(row, ENCODE)
            return None
