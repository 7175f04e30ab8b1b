"""How many characters the texts of a field can have, from what the schema says: lengths, and patterns that are simple.

Patterns are read as far as they are made of characters, classes, groups, alternatives and counts. What is more than
that (looking around, references back, names of Unicode properties) tells nothing here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from streamguard.transforms.base import Field

_COUNT: Final = re.compile(r"([*+?])|\{(\d{1,6})(,(\d{0,6}))?\}", re.ASCII)
_ATOM: Final = re.compile(
    r"\\[dDwWsStnrfv]|\\[^\w\s]|\[\^?(?:\\.|[^\[\]\\])+\]|[^\\\[\](){}*+?|^$]", re.DOTALL
)
_SET_OPERATION: Final = re.compile(r"--|&&|~~|\|\|")
_LATIN: Final = [chr(code) for code in range(256)]


class _UnreadableError(ValueError):
    """A pattern that is not simple."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """The least and the most characters, separators not counted; `most` is None where there is no bound."""

    least: int = 0
    most: int | None = None

    @classmethod
    def of(cls, field: Field, separators: str) -> Lengths:
        """What the schema says of a field's texts."""
        found = cls(0 if separators else field.min_length, field.max_length)
        for pattern in field.patterns:
            try:
                found = found & _Pattern(pattern, separators).lengths()
            except (_UnreadableError, re.error, RecursionError):
                continue
        return found

    def __and__(self, other: Lengths) -> Lengths:
        """Where both hold."""
        bounds = [most for most in (self.most, other.most) if most is not None]
        return Lengths(max(self.least, other.least), min(bounds, default=None))

    def __or__(self, other: Lengths) -> Lengths:
        """Where one of them holds."""
        most = None if self.most is None or other.most is None else max(self.most, other.most)
        return Lengths(min(self.least, other.least), most)

    def __add__(self, other: Lengths) -> Lengths:
        """One after the other."""
        most = None if self.most is None or other.most is None else self.most + other.most
        return Lengths(self.least + other.least, most)

    def times(self, least: int, most: int | None) -> Lengths:
        """Again and again."""
        if self.most == 0:
            return Lengths(0, 0)
        return Lengths(self.least * least, None if self.most is None or most is None else self.most * most)


class _Pattern:
    """A regular expression (ECMA-262, as in JSON Schema), read from left to right."""

    def __init__(self, text: str, separators: str) -> None:
        self._text = text
        self._separators = separators
        self._at = 0

    def lengths(self) -> Lengths:
        """Of the texts in which it occurs: bounded only between ``^`` and ``$``, and not beside an alternative."""
        whole = self._text.startswith("^") and self._text.endswith("$") and not self._text.endswith("\\$")
        if whole:
            self._text = self._text[1:-1]
        found, alternatives = self._alternatives()
        if self._at < len(self._text):
            raise _UnreadableError
        return found if whole and alternatives == 1 else Lengths(found.least)

    def _alternatives(self) -> tuple[Lengths, int]:
        found, count = self._sequence(), 1
        while self._take("|"):
            found, count = found | self._sequence(), count + 1
        return found, count

    def _sequence(self) -> Lengths:
        total = Lengths(0, 0)
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            total += self._counted(self._atom())
        return total

    def _atom(self) -> Lengths:
        if self._take("("):
            if self._take("?") and not self._take(":"):
                raise _UnreadableError
            inner, _ = self._alternatives()
            if not self._take(")"):
                raise _UnreadableError
            return inner
        found = _ATOM.match(self._text, self._at)
        if found is None:
            raise _UnreadableError
        self._at = found.end()
        return self._one(found[0])

    def _one(self, atom: str) -> Lengths:
        """Whether a single character counts, or is a separator."""
        if len(atom) == 1 and atom != ".":
            return Lengths(0, 0) if atom in self._separators else Lengths(1, 1)
        if _SET_OPERATION.search(atom):
            raise _UnreadableError
        matches = re.compile(atom, re.DOTALL).fullmatch
        may = any(matches(separator) for separator in self._separators)
        must = may and not any(matches(letter) for letter in _LATIN if letter not in self._separators)
        return Lengths(0 if may else 1, 0 if must else 1)

    def _counted(self, atom: Lengths) -> Lengths:
        found = _COUNT.match(self._text, self._at)
        if found is None:
            return atom
        self._at = found.end()
        self._take("?")  # lazy, which is about how it is found and not what
        sign, least, more, most = found.groups()
        if sign is not None:
            return atom.times(1 if sign == "+" else 0, 1 if sign == "?" else None)
        return atom.times(int(least), int(most) if most else None if more else int(least))

    def _take(self, sign: str) -> bool:
        taken = self._text.startswith(sign, self._at)
        self._at += len(sign) if taken else 0
        return taken
