"""What a format is: bytes to documents and back, and what its schema says of them.

A `Form` is one schema in one format, compiled. The guard asks it for everything that differs between JSON, Avro and
Protobuf, and works on documents (dicts, lists and single values) for the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final

from streamguard.policy.paths import Path, Places, Segment, Wild

SCALAR_TYPES: Final = frozenset({"string", "integer", "number", "boolean", "bytes"})
ALL_TYPES: Final = frozenset({"string", "integer", "number", "boolean", "null", "object", "array"})
"""What JSON has. Other formats have ``bytes`` too, which JSON Schema does not know."""

MAX_PLACES: Final = 10_000
"""How many places a schema may declare. A type counts in each place that it is used in: a few can make billions."""

TAG_KEYWORDS: Final = ("confluent:tags", "x-streamguard")
"""Where a schema says what a place is."""

Column = Callable[[list[Any]], list[Any]]
"""A column of values to another one of the same length. Raises ValueError for a value that it cannot take."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One place of the schema that holds a value: its types without ``null``, and what else narrows it.

    `enum` and `format` hold for every value that may stand there, or are empty; so do `patterns`, `min_length` and
    `max_length` (in characters) for every text. `free` is true where objects or arrays of undeclared shape may stand.
    `description` is the schema author's own text, `tags` what the schema says the value is (``PII``).

    `types` and `format` are those of the value as transforms see it. Where the document holds another one (Avro's date
    is a number of days), the form's `lift` and `lower` turn one into the other.
    """

    path: Path
    types: frozenset[str]
    enum: tuple[Any, ...] = ()
    format: str = ""
    free: bool = False
    description: str = ""
    patterns: tuple[str, ...] = ()
    min_length: int = 0
    max_length: int | None = None
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Change:
    """What a transform makes of the values at a path.

    `types` are those that values come out with (without ``null``; empty when they disappear). `nulls` when some come
    out as null. `keeps` when whatever the schema says of the values holds for the new ones too: nothing changes then.
    """

    types: frozenset[str]
    nulls: bool = False
    keeps: bool = False


class Form(ABC):
    """One schema in one format. Making one raises ConfigError when the schema is wrong or out of reach.

    `decode` turns the bytes of a value into a document, and raises one of `failures` for what it cannot read; `reason`
    then says why. `encode` does the reverse, and raises TypeError or ValueError; it may change the document.
    """

    name: ClassVar[str]
    """As in a policy: ``json``, ``avro`` …"""

    decode: Callable[[Any], Any]
    encode: Callable[[Any], bytes]
    failures: ClassVar[tuple[type[Exception], ...]]

    max_depth: int = 64
    """Nesting that a document may have. Set by whoever opens the form."""

    declares: bool = True
    """Whether there is a schema at all."""

    record_name: str = ""
    """The full name of what the schema describes, where a format gives it one."""

    index: tuple[int, ...] | None = None
    """Which message of its schema a value is, in Protobuf: the path of positions from the outermost one inwards."""

    imports: tuple[str, ...] = ()
    """The schemas that `text` refers to, by the names it has for them."""

    @property
    @abstractmethod
    def leaves(self) -> tuple[Leaf, ...]:
        """Every leaf that the schema declares, in its order. Tags hold for everything below where they stand."""

    @cached_property
    def places(self) -> Places[Leaf]:
        """The leaves, to be found by their paths."""
        return Places((leaf.path, leaf) for leaf in self.leaves)

    @property
    @abstractmethod
    def is_closed(self) -> bool:
        """True when a document that passes can hold nothing but the leaves, each of them of its declared types."""

    @abstractmethod
    def reason(self, value: bytes) -> str:
        """Why `decode` failed for `value`: ``syntax``, ``depth`` or ``number``."""

    @property
    @abstractmethod
    def text(self) -> str:
        """The schema as a registry takes it."""

    def doubt(self, value: bytes, document: Any) -> str:
        """What is wrong with a document that could be read: ``depth``, ``number`` or nothing.

        Asked where no closed schema vouches for it, and about documents that do not pass.
        """
        return "depth" if is_deep(document, self.max_depth) else ""

    def passes(self, document: Any) -> bool:
        """Whether a document obeys the schema. True where nothing else can be decoded at all."""
        return True

    def all_pass(self, documents: list[Any]) -> bool:
        """Whether all of them pass: one question where a format can ask it so."""
        return all(map(self.passes, documents))

    def errors(self, document: Any) -> Iterator[tuple[str, str, str]]:
        """Why a document does not pass: keyword, path (``*`` for undeclared names), and our sentence."""
        return iter(())

    def lift(self, path: Path) -> Column | None:
        """How values at a path, whole subtrees included, become what transforms take; None when they are that."""
        return None

    def lower(self, path: Path) -> Column | None:
        """The reverse, for transforms whose outputs the schema goes on describing."""
        return None

    @cached_property
    def _whole(self) -> Column | None:
        return self.lift(Path(()))

    def plain(self, document: Any) -> Any:
        """A document as plain data, as people write it in JSON.

        Raises ValueError for a value that has no such form, and ConfigError where the schema leaves open which it has.
        """
        return document if self._whole is None else self._whole([document])[0]

    @abstractmethod
    def changed(self, changes: Mapping[Path, Change]) -> Form:
        """The form of what leaves: this schema where nothing changed, and derived from it otherwise."""


def is_deep(document: Any, limit: int) -> bool:
    """True when containers are nested more than `limit` levels. Iterative: a bomb must not end our own stack."""
    level = [document] if isinstance(document, (dict, list)) else []
    for _ in range(limit):
        below = [child for node in level for child in (node.values() if isinstance(node, dict) else node)]
        level = [child for child in below if isinstance(child, (dict, list))]
        if not level:
            return False
    return bool(level)


def tags_of(node: Mapping[str, Any]) -> frozenset[str]:
    """What a schema says that a place is: ``confluent:tags``, a list, and ``x-streamguard``, a word or a list."""
    found: set[str] = set()
    for name in TAG_KEYWORDS:
        written = node.get(name, ())
        words = [written] if isinstance(written, str) else written if isinstance(written, list) else []
        found.update(word for word in words if isinstance(word, str))
    return frozenset(found)


def leaf_paths(leaves: Iterable[Leaf]) -> frozenset[Path]:
    """The paths of leaves, and of all that encloses them."""
    return frozenset(
        Path(leaf.path.segments[:length])
        for leaf in leaves
        for length in range(1, len(leaf.path.segments) + 1)
    )


def declared_path(instance_path: Iterable[str | int], names: frozenset[Path]) -> Path:
    """The path of a place in a document, with ``*`` for each name that is not among `names`."""
    steps: list[Segment] = []
    for step in instance_path:
        if isinstance(step, int):
            steps.append(Wild.EACH)
        else:
            steps.append(step if Path((*steps, step)) in names else Wild.ANY)
    return Path(tuple(steps))
