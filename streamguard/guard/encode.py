"""Documents back to bytes."""

from __future__ import annotations

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
        dumps, documents, out = orjson.dumps, batch.documents, batch.out_values
        for row in batch.live:
            try:
                out[row] = dumps(documents[row])
            except TypeError:  # orjson.JSONEncodeError; its text may hold the document
                batch.reject(row, ENCODE)
