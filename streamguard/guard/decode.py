"""Raw bytes to documents.

What a format leaves open has one defined outcome here:

==============================  =====================================================================
null value (tombstone)          passes as a tombstone
empty value                     ``decode.empty``, where a format has no empty document
not of its format               ``decode.json``, ``decode.avro`` …: invalid UTF-8, NaN, a cut value
longer than ``value.max_bytes`` ``decode.size``
deeper than ``max_depth``       ``decode.depth``
an integer beyond 64 bits       ``decode.number`` (a parser would round it silently)
fields that nobody declared     ``decode.unknown_fields``, where a format can tell
duplicate names                 the last one wins; the others do not survive (RFC 8259 leaves it open)
==============================  =====================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from streamguard.formats.base import Form
from streamguard.guard.batch import Batch
from streamguard.guard.violation import Finding

EMPTY: Final = Finding("decode.empty", "decode", "the value is empty: neither a document nor a tombstone")
SIZE: Final = Finding("decode.size", "decode", "the value is longer than the policy's max_bytes")
DEPTH: Final = Finding("decode.depth", "decode", "the document is nested deeper than the policy's max_depth")
NUMBER: Final = Finding(
    "decode.number", "decode", "an integer does not fit into 64 bits and would be rounded"
)
UNKNOWN: Final = Finding(
    "decode.unknown_fields", "decode", "the value holds fields that its schema does not declare"
)
_SYNTAX: Final[Mapping[str, Finding]] = {
    "json": Finding("decode.json", "decode", "the value is not valid JSON in UTF-8"),
    "avro": Finding("decode.avro", "decode", "the value is not a whole Avro datum of its schema"),
    "protobuf": Finding(
        "decode.protobuf", "decode", "the value is not a whole Protobuf message of its schema"
    ),
    "text": Finding("decode.text", "decode", "the value is not text in UTF-8"),
    "bytes": Finding("decode.bytes", "decode", "the value cannot be read"),
}
_OTHERS: Final[Mapping[str, Finding]] = {"depth": DEPTH, "number": NUMBER, "unknown": UNKNOWN}


def finding_of(form: Form, reason: str) -> Finding:
    """The finding for what `Form.reason` or `Form.doubt` says."""
    return _OTHERS.get(reason) or _SYNTAX[form.name]


class Decode:
    """Parses every payload of a batch.

    `vouched` says that a closed schema follows, which vouches for depth and numbers of what it finds valid; otherwise
    every record is searched here.
    """

    stage = "decode"

    def __init__(self, form: Form, *, max_bytes: int, vouched: bool) -> None:
        self.form = form
        self.max_bytes = max_bytes
        self.vouched = vouched

    def apply(self, batch: Batch) -> None:
        """Fill `batch.documents`; move tombstones aside."""
        decode, failures = self.form.decode, self.form.failures
        payloads, documents, max_bytes = batch.payloads, batch.documents, self.max_bytes
        if None in batch.values:
            self._move_tombstones(batch)
        for row in batch.live:
            value = payloads[row]
            try:
                document = decode(value)
            except failures:
                batch.reject(row, self._reason(value or b""))
                continue
            if len(value) > max_bytes:  # type: ignore[arg-type]  # tombstones are aside
                batch.reject(row, SIZE)
                continue
            documents[row] = document
        if not self.vouched:
            self._search(batch)

    def _move_tombstones(self, batch: Batch) -> None:
        batch.tombstones = [row for row in batch.live if batch.values[row] is None]
        batch.live = [row for row in batch.live if batch.values[row] is not None]

    def _search(self, batch: Batch) -> None:
        for row in batch.live:
            if row in batch.findings:
                continue
            doubt = self.form.doubt(batch.payloads[row] or b"", batch.documents[row])
            if doubt:
                batch.reject(row, finding_of(self.form, doubt))

    def _reason(self, value: bytes) -> Finding:
        if not value:
            return EMPTY
        if len(value) > self.max_bytes:
            return SIZE
        return finding_of(self.form, self.form.reason(value))
