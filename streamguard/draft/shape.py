"""The shape that documents have together: which types stand where, and how often. No value is remembered, only names.

Objects whose property names are data themselves (an e-mail address as key, a counter for each customer) are *maps*:
such names are never written anywhere.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jsonschema_rs

from streamguard.draft.content import is_full_name
from streamguard.errors import ConfigError
from streamguard.guard.inspect import find

FORMATS: Final = ("date", "date-time", "email", "uuid", "ipv4", "ipv6")
"""The formats that are claimed for a place where every text conforms."""

_TYPES: Final = {
    str: "string", bytes: "bytes", int: "integer", float: "number", bool: "boolean", type(None): "null",
    dict: "object", list: "array",
}  # fmt: skip
_CONFORMS: Final[Mapping[str, Callable[[Any], bool]]] = {
    name: jsonschema_rs.validator_for({"format": name}, validate_formats=True).is_valid for name in FORMATS
}

# A name is data when it holds a number that somebody was given, a date, a digest, or what the last look knows.
_DATA_IN_NAMES: Final = re.compile(
    r"[0-9]{6}|[0-9]{4}-[0-9]{2}-[0-9]{2}|(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}|(?=[0-9a-f-]*[0-9])[0-9a-f-]{16}|[\x00-\x1f\x7f]",
    re.IGNORECASE,
)
_LONGEST_NAME: Final = 100
_MANY_NAMES: Final = 20
_FEW_NAMES: Final = 4
_RARE: Final = 0.3
"""In a map, a name stands in so small a share of the objects."""


@dataclass(slots=True)
class Shape:
    """What was seen at one place, `count` times: `types` with their counts, `names` and `elements` below it.

    `formats` are those that all texts had so far. `values` stands for all properties of a map, and `names` is empty
    then.
    """

    count: int = 0
    types: Counter[str] = field(default_factory=Counter)
    names: dict[str, Shape] = field(default_factory=dict)
    elements: Shape | None = None
    values: Shape | None = None
    formats: tuple[str, ...] = FORMATS

    def add(self, value: Any) -> None:
        """One more value at this place."""
        self.count += 1
        self.types[_TYPES[type(value)]] += 1
        if isinstance(value, dict):
            for name, child in value.items():
                below = self.names.get(name)
                if below is None:
                    below = self.names[name] = Shape()
                below.add(child)
        elif isinstance(value, list):
            self.elements = self.elements or Shape()
            for child in value:
                self.elements.add(child)
        elif isinstance(value, str) and self.formats:
            self.formats = tuple(name for name in self.formats if _CONFORMS[name](value))

    def merge(self, other: Shape) -> None:
        """Take in what was seen at another place, as if it had been this one."""
        self.count += other.count
        self.types += other.types
        self.formats = tuple(name for name in self.formats if name in other.formats)
        for name, below in other.names.items():
            self.names.setdefault(name, Shape()).merge(below)
        for mine, theirs in (("elements", other.elements), ("values", other.values)):
            if theirs is not None:
                if getattr(self, mine) is None:
                    setattr(self, mine, Shape())
                getattr(self, mine).merge(theirs)

    @property
    def kinds(self) -> frozenset[str]:
        """The JSON types without ``null``; whole numbers among fractions are numbers."""
        kinds = frozenset(self.types) - {"null"}
        return kinds - {"integer"} if "number" in kinds else kinds

    @property
    def is_mixed(self) -> bool:
        """Whether objects or arrays stand where something else stands too."""
        return len(self.kinds) > 1 and not self.kinds.isdisjoint({"object", "array"})


def shape_of(documents: Iterable[dict[str, Any]]) -> Shape:
    """The shape of documents, with maps folded. Raises ConfigError when the documents themselves are maps."""
    shape = Shape()
    for document in documents:
        shape.add(document)
    if any(map(is_data, shape.names)) or _is_mostly_new(shape):
        raise ConfigError(
            f"The records' own property names look like data ({len(shape.names):,} of them): "
            "no policy can name such fields.",
            "Let the producer put them below a field of their own, which can then be encrypted as a whole.",
        )
    for below in shape.names.values():
        _fold(below)
    return shape


def is_data(name: str) -> bool:
    """Whether a property name is data rather than a name."""
    return (
        not name
        or len(name) > _LONGEST_NAME
        or _DATA_IN_NAMES.search(name) is not None
        or (any(map(str.isdigit, name)) and not any(map(str.isalpha, name)))
        or bool(find(name))
    )


def _fold(shape: Shape) -> None:
    """Turn objects that are maps into maps, everywhere below."""
    if shape.names and is_map(shape):
        shape.values = Shape()
        for below in shape.names.values():
            shape.values.merge(below)
        shape.names = {}
    for child in (*shape.names.values(), shape.elements, shape.values):
        if child is not None:
            _fold(child)


def is_map(shape: Shape) -> bool:
    """Whether the property names of the objects at one place are data."""
    if any(map(is_data, shape.names)) or _is_mostly_new(shape):
        return True
    if all(map(is_full_name, shape.names)) and _is_alike(shape):
        return True
    return len(shape.names) >= _MANY_NAMES and _is_sparse(shape)


def _is_mostly_new(shape: Shape) -> bool:
    """Whether most objects bring names that no other has."""
    occurrences = sum(below.count for below in shape.names.values())
    return len(shape.names) >= _FEW_NAMES and occurrences < 2 * len(shape.names) and _is_sparse(shape)


def _is_sparse(shape: Shape) -> bool:
    """Whether values are of one type, under names of which each object has few."""
    occurrences = sum(below.count for below in shape.names.values())
    return _is_alike(shape) and occurrences <= _RARE * len(shape.names) * shape.types["object"]


def _is_alike(shape: Shape) -> bool:
    """Whether values are of one type under all names."""
    kinds = {
        frozenset("number" if kind == "integer" else kind for kind in below.kinds)
        for below in shape.names.values()
    }
    return len(kinds - {frozenset()}) <= 1
