"""The hash chain of the audit trail. What is written here is permanent: see docs/audit.md.

An entry's hash is the SHA-256 of its canonical encoding, of which the hash before it is a part: nobody can change,
remove, insert or move an entry without changing every hash after it, and so the signed heads.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from streamguard.store.audit import AuditRow

FIRST: Final = bytes(32)
"""What stands for the hash before the first entry."""

VERSION: Final = b"sg-audit-1"
HEAD_VERSION: Final = b"sg-audit-head-1"

_COVERED: Final = tuple(column.name for column in fields(AuditRow) if column.name != "hash")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def entry_hash(row: AuditRow) -> bytes:
    """What `row.hash` has to be. Raises TypeError for a row with a value of a type that none of ours has."""
    return sha256(encode(VERSION, *(getattr(row, name) for name in _COVERED))).digest()


def head_message(seq: int, digest: bytes, signed_at: datetime) -> bytes:
    """What the signature of a head is made of."""
    return encode(HEAD_VERSION, seq, digest, signed_at)


def encode(*values: Any) -> bytes:
    """Values as bytes, so that no two sequences of values have the same.

    Each is a letter for its type, its length in bytes (four, big-endian) and its bytes: ``n`` nothing, ``i`` a whole
    number in decimal digits, ``s`` text in UTF-8, ``b`` bytes, ``t`` a time in microseconds since 1970 in UTC, in
    decimal digits. Raises TypeError for any other type, ValueError for text that UTF-8 cannot carry.
    """
    return b"".join(_encode_one(value) for value in values)


def _encode_one(value: Any) -> bytes:
    letter, body = _letter_and_body(value)
    return letter + len(body).to_bytes(4) + body


def _letter_and_body(value: Any) -> tuple[bytes, bytes]:
    if value is None:
        return b"n", b""
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, int):
        return b"i", str(value).encode()
    if isinstance(value, str):
        return b"s", value.encode()
    if isinstance(value, bytes):
        return b"b", value
    if isinstance(value, datetime) and value.tzinfo is not None:
        return b"t", str((value - _EPOCH) // timedelta(microseconds=1)).encode()
    raise TypeError
