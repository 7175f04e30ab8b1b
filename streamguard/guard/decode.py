"""Raw bytes to documents.

What JSON leaves open has one defined outcome here:

==============================  =====================================================================
null value (tombstone)          passes as a tombstone
empty value                     ``decode.empty``
invalid JSON, UTF-8, NaN        ``decode.json``
longer than ``value.max_bytes`` ``decode.size``
deeper than ``max_depth``       ``decode.depth``
an integer beyond 64 bits       ``decode.number`` (a parser would round it silently)
duplicate names                 the last one wins; the others do not survive (RFC 8259 leaves it open)
==============================  =====================================================================
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from streamguard.guard.batch import Batch
from streamguard.guard.violation import Finding

EMPTY: Final = Finding("decode.empty", "decode", "the value is empty: neither a document nor a tombstone")
JSON: Final = Finding("decode.json", "decode", "the value is not valid JSON in UTF-8")
SIZE: Final = Finding("decode.size", "decode", "the value is longer than the policy's max_bytes")
DEPTH: Final = Finding("decode.depth", "decode", "the document is nested deeper than the policy's max_depth")
NUMBER: Final = Finding(
    "decode.number", "decode", "an integer does not fit into 64 bits and would be rounded"
)

# Digits become "0", all else a blank: one search then finds any run of 19 digits, the shortest that can overflow.
_DIGITS: Final = bytes(48 if 48 <= byte <= 57 else 32 for byte in range(256))
_LONG_RUN: Final = b"0" * 19
# Strings and numbers are taken whole, and a string without an end up to the end of the text: nothing is read twice,
# whatever the text is. A search that starts anew at each character takes hours for a megabyte made for that purpose.
_STRING: Final = rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)'
_NUMBERS: Final = re.compile(_STRING + rb"|(-?[0-9]++)([.eE][-+.eE0-9]*+)?", re.DOTALL)
_BRACKETS: Final = re.compile(_STRING + rb"|[\[{]|[\]}]", re.DOTALL)


class Decode:
    """Parses every value of a batch.

    `vouched` says that a closed schema follows, which vouches for depth and numbers of what it finds valid; otherwise
    every record is searched here.
    """

    stage = "decode"

    def __init__(self, *, max_bytes: int, max_depth: int, vouched: bool) -> None:
        self.max_bytes = max_bytes
        self.max_depth = max_depth
        self.vouched = vouched

    def apply(self, batch: Batch) -> None:
        """Fill `batch.documents`; move tombstones aside."""
        loads, values, documents, max_bytes = orjson.loads, batch.values, batch.documents, self.max_bytes
        for row in batch.live:
            value = values[row]
            try:
                document = loads(value)  # type: ignore[arg-type]  # None ends in the handler below
            except orjson.JSONDecodeError:
                if value is None:
                    batch.tombstones.append(row)
                else:
                    batch.reject(row, self._reason(value))
                continue
            if len(value) > max_bytes:  # type: ignore[arg-type]
                batch.reject(row, SIZE)
                continue
            documents[row] = document
        if batch.tombstones:
            aside = set(batch.tombstones)
            batch.live = [row for row in batch.live if row not in aside]
        if not self.vouched:
            self._search(batch)

    def _search(self, batch: Batch) -> None:
        values = batch.values
        for row in batch.live:
            value = values[row]
            if row in batch.findings or value is None:
                continue
            if value.count(b"{") + value.count(b"[") > self.max_depth and is_deep(
                batch.documents[row], self.max_depth
            ):
                batch.reject(row, DEPTH)
            elif has_wide_integer(value):
                batch.reject(row, NUMBER)

    def _reason(self, value: bytes) -> Finding:
        if not value:
            return EMPTY
        if len(value) > self.max_bytes:
            return SIZE
        # orjson stops at its own depth limit with the same exception; tell the two apart by what stands open there.
        return DEPTH if _opens_more(value, self.max_depth) else JSON


def has_wide_integer(value: bytes) -> bool:
    """True when the JSON text holds an integer outside [-2^63, 2^64), which parsers turn into a rounded float."""
    if _LONG_RUN not in value.translate(_DIGITS):
        return False
    integers = (found[1] for found in _NUMBERS.finditer(value) if found[1] and not found[2])
    return any(len(digits) > 21 or not -(2**63) <= int(digits) < 2**64 for digits in integers)


def is_deep(document: Any, limit: int) -> bool:
    """True when containers are nested more than `limit` levels. Iterative: a bomb must not end our own stack."""
    level = [document] if isinstance(document, (dict, list)) else []
    for _ in range(limit):
        below = [child for node in level for child in (node.values() if isinstance(node, dict) else node)]
        level = [child for child in below if isinstance(child, (dict, list))]
        if not level:
            return False
    return bool(level)


def _opens_more(value: bytes, limit: int) -> bool:
    """True when more than `limit` brackets stand open at once in text that may not be valid JSON."""
    depth = 0
    for token in _BRACKETS.finditer(value):
        if token[0] in b"[{":
            depth += 1
            if depth > limit:
                return True
        elif token[0] in b"]}":
            depth -= 1
    return False
