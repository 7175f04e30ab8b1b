"""Values without any shape: a text, or bytes. The whole of it stands at the path ``$value``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from streamguard.errors import ConfigError
from streamguard.formats.base import Change, Form, Leaf
from streamguard.policy.paths import Path

WHOLE: Final = "$value"
_WRITTEN: Final = frozenset({"string", "bytes"})


class _WholeForm(Form):
    """One value under one name. What a transform makes of it leaves as text."""

    failures: ClassVar[tuple[type[Exception], ...]] = (UnicodeDecodeError,)
    text = ""
    is_closed = True
    leaves: tuple[Leaf, ...] = ()

    def encode(self, document: Any) -> bytes:
        """The text in UTF-8, or the bytes. Raises TypeError for anything else, and ValueError for a lone surrogate."""
        value = document[WHOLE]
        if isinstance(value, bytes):
            return value
        if not isinstance(value, str):
            raise TypeError
        return value.encode()

    def reason(self, value: bytes) -> str:
        """There is one."""
        return "syntax"

    def changed(self, changes: Mapping[Path, Change]) -> Form:
        """Nothing says what it is, so nothing changes. Raises ConfigError where no value would be left to write."""
        for change in changes.values():
            if change.nulls or not change.types or not change.types <= _WRITTEN:
                raise ConfigError(
                    f"A transform makes of '{WHOLE}' what is no text, and a record is that text and nothing else.",
                    "Use one that gives a text: encrypt, tokenize, redact …",
                )
        return self


class TextForm(_WholeForm):
    """Text in UTF-8."""

    name: ClassVar[str] = "text"
    leaves = (Leaf(Path((WHOLE,)), frozenset({"string"})),)

    def decode(self, value: bytes) -> dict[str, Any]:
        """The text."""
        return {WHOLE: bytes(value).decode()}


class BytesForm(_WholeForm):
    """Any bytes at all."""

    name: ClassVar[str] = "bytes"
    leaves = (Leaf(Path((WHOLE,)), frozenset({"bytes"})),)

    def decode(self, value: bytes) -> dict[str, Any]:
        """The bytes."""
        return {WHOLE: bytes(value)}
