"""Records that are made up: from a schema's leaves and from what each seems to hold, never from a value that was seen.

People and numbers are fictitious: e-mail domains are reserved (RFC 2606), addresses are for documentation (RFC 5737,
RFC 3849), phone numbers are kept free for fiction, social security numbers come from areas that are never assigned.
"""

from __future__ import annotations

import uuid
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any, Final

from streamguard.draft.kinds import Kind
from streamguard.formats.base import Form, Leaf
from streamguard.policy.paths import Path, Segment, Wild

SEED: Final = 1
_WHOLE: Final = Path(())
MAP_NAME: Final = "example"
"""The property name of maps."""

_FIRST: Final = ("Amina", "Bruno", "Carla", "Dario", "Edda", "Farah", "Goran", "Hilde", "Irena", "Jonas")
_LAST: Final = (
    "Abara",
    "Brandt",
    "Castro",
    "Dahl",
    "Ekwall",
    "Fontana",
    "Grau",
    "Horvat",
    "Iversen",
    "Jensen",
)


def values_for(leaves: Sequence[tuple[Leaf, Kind | None]], form: Form, seed: int = SEED) -> dict[Path, Any]:
    """A made-up value for every leaf: of one of its types, in its format, and of its kind where it has one."""
    random = Random(seed)  # noqa: S311 - examples, not secrets
    values = {leaf.path: _value(leaf, kind, random) for leaf, kind in leaves}
    return {path: _as_form_has_it(value, path, form) for path, value in values.items()}


def record_of(values: dict[Path, Any], leaves: Sequence[Leaf], form: Form) -> Any:
    """The record that holds these values, as far as the form can hold them at once; None when it holds no such thing.

    Maps get an example that the schema takes, also in `values`.
    """
    record = document_of(values)
    if form.name == "json":
        for leaf in leaves:
            if leaf.free and leaf.types == {"object"}:
                values[leaf.path] = _filled(record, leaf.path, form.passes)
        return record if form.passes(record) else None
    if _written_and_read(record, form) == record:
        return record
    held: dict[Path, Any] = {}  # of alternatives, such as a oneof of Protobuf, the first
    for path, value in values.items():
        more = document_of({**held, path: value})
        if _written_and_read(more, form) == more:
            held[path] = value
    return document_of(held) if held else None


def _as_form_has_it(value: Any, path: Path, form: Form) -> Any:
    """The value as the form gives it back: times with a zone or without, numbers with as many decimals as they have."""
    lower, lift = form.lower(path), form.lift(path)
    if lower is None or lift is None or not isinstance(value, str):
        return value
    for text in (value, value.removesuffix("Z"), value.partition(".")[0]):
        try:
            return lift(lower([text]))[0]
        except (ValueError, TypeError, OverflowError):
            continue
    return value


def _written_and_read(record: Any, form: Form) -> Any:
    lower, lift = form.lower(_WHOLE), form.lift(_WHOLE)
    document = _copy(record)
    try:
        document = form.decode(form.encode(document if lower is None else lower([document])[0]))
        return document if lift is None else lift([document])[0]
    except (ValueError, TypeError, OverflowError, LookupError):
        return None


def document_of(values: Mapping[Path, Any]) -> Any:
    """The document that holds these values at their paths: arrays have one element, and maps one property."""
    root: dict[Segment, Any] = {}
    for path, value in values.items():
        *above, last = path.segments
        node = root
        for step in above:
            node = node.setdefault(step, {})
        node[last] = _End(value)
    return _document(root)


class _End:
    """The end of a path: a value of which nothing is a path's."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _document(node: Any) -> Any:
    if isinstance(node, _End):
        return node.value
    if Wild.EACH in node:
        return [_document(node[Wild.EACH])]
    return {MAP_NAME if step is Wild.ANY else step: _document(child) for step, child in node.items()}


def _filled(document: Any, path: Path, passes: Callable[[Any], bool]) -> Any:
    """An example for the map at `path` of a document: of the first type that the schema takes, or empty."""
    *above, last = path.segments
    node = document
    for step in above:
        node = node[0 if step is Wild.EACH else MAP_NAME if step is Wild.ANY else step]
    place = 0 if last is Wild.EACH else MAP_NAME if last is Wild.ANY else last
    examples: tuple[Any, ...] = ("text", 7, 0.5, True, [], {})
    for value in examples:
        node[place] = {MAP_NAME: value}
        if passes(document):
            return node[place]
    node[place] = {}
    return {}


def without_optional(document: Any, leaves: Iterable[Path], passes: Callable[[Any], bool]) -> Any:
    """The smallest document that still passes: whatever the schema does not require is left out.

    `document` is the one that has a value at each of `leaves`, which are left in whole or not at all.
    """
    small = _copy(document)
    _prune(small, Path(()), frozenset(leaves), lambda: passes(small))
    return small


def _prune(node: Any, path: Path, leaves: frozenset[Path], passes: Callable[[], bool]) -> None:
    if path in leaves:
        return
    if isinstance(node, list):
        for child in node:
            _prune(child, path.child(Wild.EACH), leaves, passes)
        return
    for name in list(node):
        below = path.child(Wild.ANY if path.child(Wild.ANY) in leaves else name)
        child = node.pop(name)
        if not passes():
            node[name] = child
            _prune(child, below, leaves, passes)


def _copy(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: _copy(child) for name, child in node.items()}
    return [_copy(child) for child in node] if isinstance(node, list) else node


# -- values ----------------------------------------------------------------------------------------------------------


def _value(leaf: Leaf, kind: Kind | None, random: Random) -> Any:
    if leaf.enum:
        return [value for value in leaf.enum if value is not None][-1]  # the first is often a default
    types = leaf.types
    if "string" in types:
        return _fitted(_text(leaf, kind, random), leaf)
    if "integer" in types or "number" in types:
        return _number(kind, random, whole="number" not in types)
    if "boolean" in types:
        return True
    if "bytes" in types:
        return b64encode(random.randbytes(9)).decode()
    return [] if "array" in types else {}


def _text(leaf: Leaf, kind: Kind | None, random: Random) -> str:
    of_format = _OF_FORMAT.get(leaf.format)
    if of_format is not None:
        return of_format(random, kind)
    of_kind = _OF_KIND.get(kind.name if kind else "")
    return of_kind(random) if of_kind else f"example-{_letters(random, 4)}"


def _fitted(text: str, leaf: Leaf) -> str:
    """The text, as short or as long as the schema wants it."""
    if leaf.max_length is not None:
        text = text[: leaf.max_length]
    return text.ljust(leaf.min_length, "x")


def _number(kind: Kind | None, random: Random, *, whole: bool) -> float:
    name = kind.name if kind else ""
    if name == "geo":
        return random.randrange(10, 80) if whole else random.randrange(10, 80) + 0.0625
    if name == "age":
        return random.randrange(20, 80)
    if name == "birth_date":
        return random.randrange(1950, 2000)
    if name in ("card", "account", "iban"):
        return int(_card(random))
    return random.randrange(10, 100) if whole else random.randrange(10, 100) + 0.5


def _day(random: Random, kind: Kind | None) -> str:
    first = 1950 if kind is not None and kind.name == "birth_date" else 2020
    return f"{random.randrange(first, first + 8)}-{random.randrange(2, 13):02}-{random.randrange(2, 28):02}"


def _time(random: Random) -> str:
    return f"{random.randrange(1, 24):02}:{random.randrange(1, 60):02}:{random.randrange(1, 60):02}"


def _letters(random: Random, count: int) -> str:
    return "".join(random.choices("abcdefghijkmnopqrstuvwxyz", k=count))


def _digits(random: Random, count: int) -> str:
    return "".join(random.choices("0123456789", k=count))


def _card(random: Random) -> str:
    body = f"400000{_digits(random, 9)}"
    doubled = (int(digit) * (2 - place % 2) for place, digit in enumerate(body))
    return f"{body}{-sum(number // 10 + number % 10 for number in doubled) % 10}"


def _iban(random: Random) -> str:
    account = _digits(random, 18)
    check = 98 - int(f"{account}131400") % 97  # D is 13 and E is 14: ISO 13616
    return f"DE{check:02}{account}"


def _email(random: Random) -> str:
    return f"{random.choice(_FIRST).lower()}.{_letters(random, 5)}@example.com"


def _ipv4(random: Random) -> str:
    return f"203.0.113.{random.randrange(2, 255)}"


_OF_FORMAT: Final[Mapping[str, Callable[[Random, Kind | None], str]]] = {
    "date": _day,
    "date-time": lambda random, kind: f"{_day(random, kind)}T{_time(random)}Z",
    "time": lambda random, _: f"{_time(random)}Z",
    "email": lambda random, _: _email(random),
    "uuid": lambda random, _: str(uuid.UUID(int=random.getrandbits(128), version=4)),
    "ipv4": lambda random, _: _ipv4(random),
    "ipv6": lambda random, _: f"2001:db8:{random.randrange(16, 4096):x}::{random.randrange(16, 4096):x}",
    "hostname": lambda random, _: f"{_letters(random, 6)}.example.com",
    "uri": lambda random, _: f"https://example.com/{_letters(random, 6)}",
    "duration": lambda random, _: f"PT{random.randrange(120, 3600)}S",  # as Protobuf's are written
    "decimal": lambda random, _: f"{random.randrange(10, 100)}.{random.randrange(10, 100)}",
}
_OF_KIND: Final[Mapping[str, Callable[[Random], str]]] = {
    "email": _email,
    "phone": lambda random: f"+1202555{random.randrange(100, 200):04}",
    "name": lambda random: f"{random.choice(_FIRST)} {random.choice(_LAST)}",
    "address": lambda random: f"Example Street {random.randrange(1, 100)}",
    "postcode": lambda random: _digits(random, 5),
    "person_id": lambda random: f"id-{_digits(random, 6)}",
    "identifier": lambda random: f"id-{_digits(random, 6)}",
    "device_id": lambda random: f"device-{_digits(random, 6)}",
    "username": lambda random: f"{random.choice(_FIRST).lower()}{_digits(random, 3)}",
    "ssn": lambda random: (
        f"9{_digits(random, 2)}-{random.randrange(1, 49):02}-{random.randrange(1, 10_000):04}"
    ),
    "tax_id": lambda random: f"9{_digits(random, 8)}",
    "papers": lambda random: f"X{_digits(random, 8)}",
    "birth_date": lambda random: _day(random, None),
    "card": _card,
    "iban": _iban,
    "account": lambda random: _digits(random, 10),
    "ip": _ipv4,
    "geo": lambda random: (
        f"{random.randrange(10, 80)}.{_digits(random, 3)}7,{random.randrange(10, 80)}.{_digits(random, 3)}7"
    ),
    "secret": lambda random: f"example-{_letters(random, 12)}",
    "free_text": lambda random: f"An example of what people write, {_letters(random, 6)}.",
}
