"""``replace``: the value becomes another, given one, of any scalar type."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

from pydantic import AllowInfNan

from streamguard.transforms.base import ANY, WRITABLE, Options, Reject, Transform

_TYPES: Final = {str: "string", bool: "boolean", int: "integer", float: "number"}


class ReplaceOptions(Options):
    """`value` is what every record carries instead: a text, number or boolean (for null: `nullify`)."""

    value: Annotated[str | bool | int | Annotated[float, AllowInfNan(allow_inf_nan=False)], WRITABLE]


class Replace(Transform[ReplaceOptions]):
    """Replaces the value, of whatever type, with the given one."""

    verb: ClassVar[str] = "replace"
    Options = ReplaceOptions
    takes: ClassVar[frozenset[str]] = ANY

    def apply(self, values: list[Any], reject: Reject) -> list[Any]:
        """The same value for every value."""
        return [self.options.value] * len(values)

    def gives(self) -> frozenset[str]:
        """The type of the value."""
        return frozenset({_TYPES[type(self.options.value)]})
