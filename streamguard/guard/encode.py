"""Documents back to bytes."""

from __future__ import annotations

from typing import Final

from streamguard.formats.base import Form
from streamguard.guard.batch import Batch
from streamguard.guard.violation import Finding

_UNWRITABLE: Final = (TypeError, ValueError, OverflowError)
"""What encoders raise; the texts may hold the document."""
_WHY: Final = "the protected document cannot be written in its format"
_FINDINGS: Final = {
    "json": Finding("encode.json", "encode", _WHY),
    "avro": Finding("encode.avro", "encode", _WHY),
    "protobuf": Finding("encode.protobuf", "encode", _WHY),
    "text": Finding("encode.text", "encode", _WHY),
    "bytes": Finding("encode.bytes", "encode", _WHY),
}


class Encode:
    """Writes every live document in the form of what leaves, behind `prefix`."""

    stage = "encode"

    def __init__(self, form: Form, prefix: bytes = b"") -> None:
        self.form = form
        self.prefix = prefix

    def apply(self, batch: Batch) -> None:
        """Fill `batch.out_values`; whatever the format cannot hold is a finding, not an exception for the batch."""
        rows, out, prefix = batch.live, batch.out_values, self.prefix
        try:
            encoded: list[bytes | None] = list(map(self.form.encode, batch.live_documents))
        except _UNWRITABLE:
            encoded = [self._one(batch, row) for row in rows]
        if prefix:
            encoded = [prefix + value if value is not None else None for value in encoded]
        for row, value in zip(rows, encoded, strict=True):
            out[row] = value

    def _one(self, batch: Batch, row: int) -> bytes | None:
        try:
            return self.form.encode(batch.documents[row])
        except _UNWRITABLE:
            batch.reject(row, _FINDINGS[self.form.name])
            return None
