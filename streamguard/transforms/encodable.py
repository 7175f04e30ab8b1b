"""Columns as the bytes that keyed verbs work on."""

from __future__ import annotations

from typing import Any, Final

from streamguard.crypto.wire import encode_value
from streamguard.errors import TokenError
from streamguard.transforms.base import DOMAIN, Reject

NOT_ENCODABLE: Final = "the value is no text, bytes or plain JSON within 64-bit integers"
"""The sentence for the values that `encodable` rejects."""


def encodable(values: list[Any], reject: Reject) -> list[Any]:
    """The column with every value that has no encoding rejected, and an empty text in its place."""
    return [value if _has_encoding(value) else _refused(index, reject) for index, value in enumerate(values)]


def _has_encoding(value: Any) -> bool:
    try:
        encode_value(value)
    except TokenError:
        return False
    return True


def _refused(index: int, reject: Reject) -> str:
    reject(index, DOMAIN)
    return ""
