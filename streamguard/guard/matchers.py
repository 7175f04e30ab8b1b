"""Expected documents of policy tests, in which matchers stand where a value cannot be known beforehand.

A matcher is a mapping whose every key begins with ``$``; several in one mapping must all hold:

==============================  ======================================================================
``{$any: true}``                there is a value, whatever it is
``{$absent: true}``             there is no such field
``{$equals: value}``            this value, in which nothing is a matcher
``{$not: value}``               there is a value, and not this one
``{$matches: regex}``           a text that the whole regular expression matches
``{$token: encrypt}``           a token, of this verb or of this kind (``e``, ``d``, ``s``)
``{$decrypts_to: value}``       a token that holds this value
``{$includes: {name: value}}``  an object with at least these fields; a list with at least these elements
==============================  ======================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from streamguard.crypto.aead import VALUE_KINDS, open_token
from streamguard.crypto.keyring import Keyring
from streamguard.crypto.wire import KINDS, parse_token
from streamguard.errors import StreamGuardError, TokenError
from streamguard.policy.expected import Place
from streamguard.policy.problems import did_you_mean, listed

MISSING: Final = object()
"""What is found where a document has nothing."""

_KINDS_OF: Final[Mapping[str, frozenset[str]]] = {
    "encrypt": frozenset(VALUE_KINDS),
    **{kind.id: frozenset({kind.id}) for kind in KINDS},
}
_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Where an expectation is not met: its place below the expected value, and what is wrong there."""

    place: Place
    message: str


class Comparison:
    """Holds what was found against what is expected. Tokens are opened with `keyring`."""

    def __init__(self, keyring: Keyring) -> None:
        self.keyring = keyring

    def compare(self, expected: Any, found: Any, place: Place = ()) -> Iterator[Mismatch]:
        """Everything in which `found` is not what `expected` says."""
        if is_matcher(expected):
            for name, argument in expected.items():
                yield from MATCHERS[name](self, argument, found, (*place, name))
        elif found is MISSING:
            yield Mismatch(place, f"expected {shown(expected)}, found nothing")
        elif isinstance(expected, dict) and isinstance(found, dict):
            yield from self._names(expected, found, place)
            for name in found.keys() - expected.keys():
                yield Mismatch(place, f"found '{name}': {shown(found[name])}, which is not expected")
        elif isinstance(expected, list) and isinstance(found, list):
            for index, item in enumerate(expected):
                yield from self.compare(
                    item, found[index] if index < len(found) else MISSING, (*place, index)
                )
            if len(found) > len(expected):
                yield Mismatch(place, f"expected {len(expected)} elements, found {len(found)}")
        elif not _equal(expected, found):
            yield Mismatch(place, f"expected {shown(expected)}, found {shown(found)}")

    def any(self, _: Any, found: Any, place: Place) -> Iterator[Mismatch]:
        """``$any``."""
        if found is MISSING:
            yield Mismatch(place, "expected a value, found nothing")

    def absent(self, _: Any, found: Any, place: Place) -> Iterator[Mismatch]:
        """``$absent``."""
        if found is not MISSING:
            yield Mismatch(place, f"expected nothing, found {shown(found)}")

    def equals(self, value: Any, found: Any, place: Place) -> Iterator[Mismatch]:
        """``$equals``."""
        if found is MISSING or not _same(value, found):
            yield Mismatch(place, f"expected {shown(value)}, found {shown(found)}")

    def differs(self, value: Any, found: Any, place: Place) -> Iterator[Mismatch]:
        """``$not``."""
        if found is MISSING or _same(value, found):
            yield Mismatch(place, f"expected anything but {shown(value)}, found {shown(found)}")

    def matches(self, pattern: str, found: Any, place: Place) -> Iterator[Mismatch]:
        """``$matches``."""
        if not isinstance(found, str) or not re.fullmatch(pattern, found):
            yield Mismatch(place, f"expected a text that matches {pattern}, found {shown(found)}")

    def token(self, kind: str, found: Any, place: Place) -> Iterator[Mismatch]:
        """``$token``."""
        try:
            is_one = isinstance(found, str) and parse_token(found).kind in _KINDS_OF[kind]
        except TokenError:
            is_one = False
        if not is_one:
            yield Mismatch(place, f"expected a token of '{kind}', found {shown(found)}")

    def decrypts_to(self, value: Any, found: Any, place: Place) -> Iterator[Mismatch]:
        """``$decrypts_to``."""
        try:
            opened = open_token(found, self.keyring) if isinstance(found, str) else MISSING
        except StreamGuardError:
            opened = MISSING
        if opened is MISSING:
            yield Mismatch(place, f"expected a token, found {shown(found)}")
        else:
            yield from self.compare(value, opened, place)

    def includes(self, value: Any, found: Any, place: Place) -> Iterator[Mismatch]:
        """``$includes``."""
        if isinstance(value, dict) and isinstance(found, dict):
            yield from self._names(value, found, place)
        elif isinstance(value, list) and isinstance(found, list):
            for index, item in enumerate(value):
                if all(list(self.compare(item, element)) for element in found):
                    yield Mismatch(
                        (*place, index), f"expected an element {shown(item)}, found {shown(found)}"
                    )
        else:
            what = "an object" if isinstance(value, dict) else "a list"
            yield Mismatch(place, f"expected {what}, found {shown(found)}")

    def _names(self, expected: dict[str, Any], found: dict[str, Any], place: Place) -> Iterator[Mismatch]:
        for name, value in expected.items():
            yield from self.compare(value, found.get(name, MISSING), (*place, name))


MATCHERS: Final[Mapping[str, Callable[[Comparison, Any, Any, Place], Iterator[Mismatch]]]] = {
    "$any": Comparison.any,
    "$absent": Comparison.absent,
    "$equals": Comparison.equals,
    "$not": Comparison.differs,
    "$matches": Comparison.matches,
    "$token": Comparison.token,
    "$decrypts_to": Comparison.decrypts_to,
    "$includes": Comparison.includes,
}
"""Every matcher by its name."""


def is_matcher(expected: Any) -> bool:
    """Whether this is a mapping of matchers."""
    return (
        isinstance(expected, dict) and bool(expected) and all(str(name).startswith("$") for name in expected)
    )


def faults(expected: Any, place: Place = ()) -> Iterator[tuple[Place, str, str]]:
    """Matchers that are not written as they must be: the place, what is wrong, what to write."""
    if isinstance(expected, list):
        for index, item in enumerate(expected):
            yield from faults(item, (*place, index))
    elif isinstance(expected, dict):
        names = [name for name in expected if name.startswith("$")]
        for name, value in expected.items():
            below = (*place, name)
            if not name.startswith("$"):
                yield from faults(value, below)
            elif len(names) < len(expected):
                yield (
                    below,
                    f"the matcher '{name}' stands among names",
                    "write {$equals: …} for names with a '$'",
                )
            elif name not in MATCHERS:
                yield (
                    below,
                    f"unknown matcher '{name}'",
                    did_you_mean(name, MATCHERS) or f"there are: {listed(MATCHERS, 'and')}",
                )
            else:
                yield from _argument_faults(name, value, below)


def _argument_faults(name: str, value: Any, place: Place) -> Iterator[tuple[Place, str, str]]:
    if name in ("$any", "$absent") and value is not True:
        yield place, f"'{name}' takes true", f"write {{{name}: true}}"
    elif name == "$token" and value not in _KINDS_OF:
        yield place, "'$token' takes a verb or a kind of token", f"write {listed(_KINDS_OF)}"
    elif name == "$matches":
        try:
            re.compile(value)
        except (re.error, TypeError):
            yield place, "'$matches' takes a regular expression", ""
    elif name == "$includes" and not isinstance(value, dict | list):
        yield place, "'$includes' takes a mapping or a list", ""
    elif name in ("$decrypts_to", "$includes"):
        yield from faults(value, place)


def shown(value: Any) -> str:
    """A value as people read it, and not too much of it."""
    if value is MISSING:
        return "nothing"
    try:
        text = orjson.dumps(value).decode()
    except TypeError:
        text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _equal(expected: Any, found: Any) -> bool:
    """Equal as JSON: 10 is 10.0, and true is not 1."""
    return isinstance(expected, bool) == isinstance(found, bool) and bool(expected == found)


def _same(one: Any, two: Any) -> bool:
    """Equal as JSON all the way down, without matchers."""
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(_same(one[name], two[name]) for name in one)
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(_same, one, two))
    return _equal(one, two)
