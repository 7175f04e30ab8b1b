"""``nullify``: the name stays, the value becomes null."""

from __future__ import annotations

from typing import Any, ClassVar

from streamguard.transforms.base import ANY, Options, Reject, Transform


class Nullify(Transform[Options]):
    """Replaces the value with ``null``: readers still see that the field was there."""

    verb: ClassVar[str] = "nullify"
    takes: ClassVar[frozenset[str]] = ANY

    def apply(self, values: list[Any], reject: Reject) -> list[Any]:
        """None for every value."""
        return [None] * len(values)

    def gives(self) -> frozenset[str]:
        """Null."""
        return frozenset({"null"})
