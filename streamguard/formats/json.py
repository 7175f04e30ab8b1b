"""JSON (RFC 8259), with a JSON Schema or without one.

What JSON leaves open has one defined outcome here: duplicate names (the last one wins; the others do not survive), NaN
and infinity (no JSON), integers beyond 64 bits (``number``: a parser would round them silently).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar, Final

import orjson

from streamguard.formats.base import Change, Form, Leaf
from streamguard.formats.json_change import derived
from streamguard.formats.json_schema import Schema
from streamguard.policy.paths import Path

# Digits become "0", all else a blank: one search then finds any run of 19 digits, the shortest that can overflow.
_DIGITS: Final = bytes(48 if 48 <= byte <= 57 else 32 for byte in range(256))
_LONG_RUN: Final = b"0" * 19
# Strings and numbers are taken whole, and a string without an end up to the end of the text: nothing is read twice,
# whatever the text is. A search that starts anew at each character takes hours for a megabyte made for that purpose.
_STRING: Final = rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)'
_NUMBERS: Final = re.compile(_STRING + rb"|(-?[0-9]++)([.eE][-+.eE0-9]*+)?", re.DOTALL)
_BRACKETS: Final = re.compile(_STRING + rb"|[\[{]|[\]}]", re.DOTALL)


class JsonForm(Form):
    """JSON under a schema; without one, nothing is declared and every document passes."""

    name: ClassVar[str] = "json"
    failures: ClassVar[tuple[type[Exception], ...]] = (orjson.JSONDecodeError,)

    def __init__(self, schema: dict[str, Any] | None, references: Mapping[str, Any] | None = None) -> None:
        self.schema = Schema(schema, references or {}) if schema is not None else None
        self.declares = schema is not None
        self.decode = orjson.loads
        self.encode = orjson.dumps

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """Those of the schema."""
        return self.schema.leaves if self.schema else ()

    @property
    def is_closed(self) -> bool:
        """As the schema is."""
        return self.schema is not None and self.schema.is_closed

    @cached_property
    def passes(self) -> Any:
        """As the schema says; a closed one vouches for depth and numbers too."""
        return self.schema.passes if self.schema else super().passes

    @cached_property
    def all_pass(self) -> Any:
        """As the schema says."""
        return self.schema.all_pass if self.schema else super().all_pass

    def errors(self, document: Any) -> Iterator[tuple[str, str, str]]:
        """As the schema says."""
        return self.schema.errors(document) if self.schema else iter(())

    def reason(self, value: bytes) -> str:
        """Orjson stops at its own depth limit with the same exception: what stands open there tells the two apart."""
        return "depth" if _opens_more(value, self.max_depth) else "syntax"

    def doubt(self, value: bytes, document: Any) -> str:
        """Too deep, or with an integer that was rounded."""
        brackets = value.count(b"{") + value.count(b"[")
        if brackets > self.max_depth and (deep := super().doubt(value, document)):
            return deep
        return "number" if has_wide_integer(value) else ""

    @property
    def text(self) -> str:
        """The schema."""
        return orjson.dumps(self.schema.document).decode() if self.schema else "{}"

    def changed(self, changes: Mapping[Path, Change]) -> JsonForm:
        """The schema with the changed places written anew."""
        if self.schema is None:
            return self
        document = derived(self.schema, changes)
        return self if document == self.schema.document else JsonForm(document)


def has_wide_integer(value: bytes) -> bool:
    """True when the JSON text holds an integer outside [-2^63, 2^64), which parsers turn into a rounded float."""
    if _LONG_RUN not in value.translate(_DIGITS):
        return False
    integers = (found[1] for found in _NUMBERS.finditer(value) if found[1] and not found[2])
    return any(len(digits) > 21 or not -(2**63) <= int(digits) < 2**64 for digits in integers)


def _opens_more(value: bytes, limit: int) -> bool:
    """True when more than `limit` brackets stand open at once in text that may not be valid JSON."""
    depth = 0
    for token in _BRACKETS.finditer(value):
        if token[0] in b"[{":
            depth += 1
            if depth > limit:
                return True
        elif token[0] in b"]}":
            depth -= 1
    return False
