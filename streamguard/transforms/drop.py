"""``drop``: the value and its name disappear."""

from __future__ import annotations

from typing import Any, ClassVar

from streamguard.transforms.base import ANY, DROP, Options, Reject, Transform


class Drop(Transform[Options]):
    """Removes the value together with its name; an element of an array is removed from the array."""

    verb: ClassVar[str] = "drop"
    takes: ClassVar[frozenset[str]] = ANY
    drops: ClassVar[bool] = True

    def apply(self, values: list[Any], reject: Reject) -> list[Any]:
        """`DROP` for every value."""
        return [DROP] * len(values)

    def gives(self) -> frozenset[str]:
        """Nothing."""
        return frozenset()
