"""Revealed values as JSON can show them."""

from __future__ import annotations

from base64 import b64encode
from math import isfinite
from typing import Any, Final, Literal

Kind = Literal["text", "json", "bytes", "number"]
KINDS: Final = "bytes are given as base64; of kind 'number' are NaN and the infinities, by name."


def shown(value: Any) -> dict[str, Any]:
    """A value with the type that it was protected with."""
    if isinstance(value, bytes):
        return {"type": "bytes", "value": b64encode(value).decode()}
    if isinstance(value, float) and not isfinite(value):
        return {"type": "number", "value": str(value)}
    return {"type": "text" if isinstance(value, str) else "json", "value": value}
