"""A signed head as it is published: one JSON object. See docs/audit.md."""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import UTC, datetime

import orjson

from streamguard.store.audit import HeadRow

_VERSION = 1
_NAMES = {"version", "seq", "hash", "signed_at", "signature"}


def format_head(head: HeadRow) -> bytes:
    """The record's value."""
    return orjson.dumps(
        {
            "version": _VERSION,
            "seq": head.seq,
            "hash": head.hash.hex(),
            "signed_at": head.signed_at.astimezone(UTC).isoformat(timespec="microseconds"),
            "signature": b64encode(head.signature).decode(),
        }
    )


def parse_head(value: bytes) -> HeadRow | None:
    """The head that `format_head` wrote; None for anything else. Its signature is not verified here."""
    try:
        found = orjson.loads(value)
        if not isinstance(found, dict) or found.keys() != _NAMES or found["version"] != _VERSION:
            return None
        head = HeadRow(
            seq=int(found["seq"]),
            hash=bytes.fromhex(found["hash"]),
            signature=b64decode(found["signature"], validate=True),
            signed_at=datetime.fromisoformat(found["signed_at"]),
        )
        return head if format_head(head) == value else None
    except (ValueError, TypeError, LookupError, OverflowError):
        return None
