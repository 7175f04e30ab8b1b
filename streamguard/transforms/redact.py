"""``redact``: the value becomes a constant text."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from streamguard.transforms.base import ANY, WRITABLE, Options, Reject, Transform


class RedactOptions(Options):
    """`text` stands where the value stood. It is a string, whatever the value was; `replace` keeps a type."""

    text: Annotated[str, WRITABLE] = "[redacted]"


class Redact(Transform[RedactOptions]):
    """Replaces the value, of whatever type, with one text."""

    verb: ClassVar[str] = "redact"
    Options = RedactOptions
    takes: ClassVar[frozenset[str]] = ANY

    def apply(self, values: list[Any], reject: Reject) -> list[Any]:
        """The same text for every value."""
        return [self.options.text] * len(values)
