"""A data key in the clear."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

TRAIL: Final = "audit:trail"
"""The element of the pinned key from which the audit trail's signing key and key of references are derived."""

_ID_LETTERS: Final = string.ascii_letters + string.digits


def new_id(length: int) -> str:
    """A random id for a key: of 10 letters and digits there are 2^59, of 16 there are 2^95."""
    return "".join(secrets.choice(_ID_LETTERS) for _ in range(length))


@dataclass(frozen=True, slots=True)
class DataKey:
    """A data key in the clear, for as short as possible. `secret` is 32 bytes and never printed."""

    id: str
    element: str
    secret: bytes = field(repr=False)

    def subkey(self, kind: str, length: int = 32) -> bytes:
        """`length` bytes for one kind of use: HKDF-SHA256 (RFC 5869), no salt, info ``sg1|kind|element``."""
        return HKDF(SHA256(), length, None, f"sg1|{kind}|{self.element}".encode()).derive(self.secret)
