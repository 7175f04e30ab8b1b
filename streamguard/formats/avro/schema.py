"""Avro schemas: read, checked, and made into a graph of types in which every name is resolved.

Source: Apache Avro 1.12.0 Specification, "Schema Declaration" and "Logical Types". As that says, a logical type that is
unknown, or incomplete, counts as the type beneath it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from streamguard.errors import ConfigError
from streamguard.formats.avro.logical import Logical, logical_of
from streamguard.formats.base import MAX_PLACES, TAG_KEYWORDS, Leaf
from streamguard.policy.paths import Path, Segment, Wild

PRIMITIVES: Final = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
NAMED: Final = frozenset({"record", "enum", "fixed"})

MAX_DEPTH: Final = 100
"""How deep records, arrays and maps of a schema may be nested."""

MAX_MEMBERS: Final = 1_000
"""How many types a union may have: more nest deeper than Python's compiler goes."""

MAX_EMPTY: Final = 1_000
"""How many values that take no bytes one value may hold: so much of a document comes from nowhere."""

MAX_SIZE: Final = 2**31 - 1
"""How large a fixed type may be, which is an `int` in Java."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LEAF_TYPES: Final = {
    "boolean": "boolean",
    "int": "integer",
    "long": "integer",
    "float": "number",
    "double": "number",
    "string": "string",
    "enum": "string",
    "bytes": "bytes",
    "fixed": "bytes",
}
_STRUCTURES: Final = {"record": "object", "map": "object", "array": "array"}


@dataclass(slots=True, eq=False)
class Member:
    """One field of a record. `json` is as its schema's author wrote it."""

    name: str
    type: Node
    json: dict[str, Any]
    tags: frozenset[str]

    @property
    def doc(self) -> str:
        """What the author says of the field, or else of its type."""
        return _text(self.json.get("doc")) or next((node.doc for node in self.type.members if node.doc), "")


@dataclass(slots=True, eq=False)
class Node:
    """One type. A named type is one node, wherever it is used; so recursion is a cycle.

    `inner` holds what an array's items, a map's values or a union's members are.
    """

    kind: str
    json: Any
    name: str = ""
    fields: list[Member] = field(default_factory=list)
    inner: list[Node] = field(default_factory=list)
    symbols: tuple[str, ...] = ()
    size: int = 0
    logical: Logical | None = None
    doc: str = ""
    tags: frozenset[str] = frozenset()

    @property
    def members(self) -> list[Node]:
        """What may stand where this type does: a union's members, null included, or the type itself."""
        return self.inner if self.kind == "union" else [self]

    @property
    def types(self) -> frozenset[str]:
        """A single type's name among those of leaves."""
        if self.kind == "null":
            return frozenset()
        if self.logical is not None:
            return frozenset({"string"})
        return frozenset({_STRUCTURES.get(self.kind) or _LEAF_TYPES[self.kind]})

    def below(self, segment: Segment) -> list[Node]:
        """The types at the other end of one step of a path."""
        return [
            inner
            for node in self.members
            for inner in (
                [node.inner[0]]
                if (node.kind == "array" and segment is Wild.EACH)
                or (node.kind == "map" and segment is not Wild.EACH)
                else [member.type for member in node.fields if segment in (member.name, Wild.ANY)]
            )
        ]


class Reader:
    """Reads one schema and those that it refers to by name. Raises ConfigError for what is no Avro schema."""

    def __init__(self, references: Mapping[str, Any]) -> None:
        self.named: dict[str, Node] = {}
        self.referred = False
        self._waiting = dict(references)

    def read(self, schema: Any, space: str = "", depth: int = 0) -> Node:
        """The node of a schema inside the namespace `space`."""
        if isinstance(schema, str):
            return Node(schema, schema) if schema in PRIMITIVES else self._find(schema, space)
        if isinstance(schema, list):
            return self._union(schema, space, depth)
        if not isinstance(schema, dict) or not isinstance(schema.get("type"), str):
            raise _wrong("a type is neither a name, a union, nor an object with a 'type' that is a name")
        kind = schema["type"]
        if kind in PRIMITIVES:
            return Node(
                kind,
                schema,
                logical=logical_of(kind, schema),
                doc=_text(schema.get("doc")),
                tags=_tags(schema),
            )
        if depth >= MAX_DEPTH:
            raise too_deep()
        if kind in ("array", "map"):
            key = "items" if kind == "array" else "values"
            if key not in schema:
                raise _wrong(f"a type '{kind}' has no '{key}'")
            inner = self.read(schema[key], space, depth + 1)
            return Node(kind, schema, inner=[inner], doc=_text(schema.get("doc")), tags=_tags(schema))
        if kind in NAMED:
            return self._named(kind, schema, space, depth)
        raise _wrong("a type has a 'type' that Avro does not know")

    def _find(self, name: str, space: str) -> Node:
        full = name if "." in name or not space else f"{space}.{name}"
        while full not in self.named and self._waiting:
            # The type may be defined inside another one that is referred to.
            key = full if full in self._waiting else next(iter(self._waiting))
            self.read(self._waiting.pop(key))
            self.referred = True
        if full not in self.named:
            raise _wrong(f"it uses the type '{name}', which neither it nor its references define")
        return self.named[full]

    def _union(self, schema: list[Any], space: str, depth: int) -> Node:
        if len(schema) > MAX_MEMBERS:
            raise ConfigError(f"The schema has a union of more than {MAX_MEMBERS:,} types.", "Split it.")
        inner = [self.read(each, space, depth) for each in schema]
        marks = [node.name or node.kind for node in inner]
        if not inner or "union" in marks or len(set(marks)) < len(marks):
            raise _wrong("a union is empty, holds another union, or holds one type twice")
        return Node("union", schema, inner=inner)

    def _named(self, kind: str, schema: dict[str, Any], space: str, depth: int) -> Node:
        full, space = full_name(schema, space)
        if full in self.named or full.rpartition(".")[2] in PRIMITIVES:
            raise _wrong(f"the type '{full}' is defined twice, or has a name that Avro keeps for itself")
        node = Node(kind, schema, full, doc=_text(schema.get("doc")), tags=_tags(schema))
        self.named[full] = node
        if kind == "enum":
            node.symbols = _symbols(schema.get("symbols"), full)
        elif kind == "fixed":
            size = schema.get("size")
            if type(size) is not int or not 0 <= size <= MAX_SIZE:
                raise _wrong(f"the fixed type '{full}' has no 'size', or one beyond 32 bits")
            node.size = size
            node.logical = logical_of(kind, schema)
        else:
            node.fields = self._fields(schema.get("fields"), full, space, depth)
        return node

    def _fields(self, fields: Any, full: str, space: str, depth: int) -> list[Member]:
        if not isinstance(fields, list) or not all(
            isinstance(each, dict) and "type" in each and _is_name(each.get("name")) for each in fields
        ):
            raise _wrong(f"the record '{full}' has no list of fields, each with a name and a type")
        if len({each["name"] for each in fields}) < len(fields):
            raise _wrong(f"the record '{full}' has two fields of one name")
        return [
            Member(each["name"], self.read(each["type"], space, depth + 1), each, _tags(each))
            for each in fields
        ]


def full_name(schema: dict[str, Any], space: str) -> tuple[str, str]:
    """A definition's full name and its namespace, inside the namespace `space`."""
    name = schema.get("name")
    own = space if schema.get("namespace") is None else schema["namespace"]
    if not isinstance(name, str) or not isinstance(own, str):
        raise _wrong("a named type has no name")
    full = name if "." in name or not own else f"{own}.{name}"
    if not all(map(_is_name, full.split("."))):
        raise _wrong("a type has a name that is not one in Avro")
    return full, full.rpartition(".")[0]


def is_null(node: Node) -> bool:
    """Whether a type is null itself."""
    return node.kind == "null"


def distinct(nodes: Iterable[Node]) -> list[Node]:
    """What may stand where all of `nodes` apply, unions opened, without null."""
    found = {id(member): member for node in nodes for member in node.members if member.kind != "null"}
    return list(found.values())


def is_structured(nodes: list[Node]) -> bool:
    """Whether a place with these types can be entered by a path: they are all records, or one array, or one map."""
    kinds = {node.kind for node in nodes}
    return len(kinds) == 1 and kinds <= _STRUCTURES.keys()


def leaves_of(root: Node) -> tuple[Leaf, ...]:
    """Every leaf, in the schema's order. Raises ConfigError for a schema that is too large or too deep."""
    walk = _Leaves()
    return tuple(walk.at([root], Path(()), "", frozenset(), ()))


class _Leaves:
    """The walk through a schema. It counts the places it comes to: few types, used in each other, can make billions."""

    def __init__(self) -> None:
        self.places = 0

    def at(
        self, nodes: list[Node], path: Path, doc: str, tags: frozenset[str], above: tuple[Node, ...]
    ) -> Iterator[Leaf]:
        """Leaves of a place that has all of `nodes`. `above` are the records that one is inside of."""
        self.places += 1
        if self.places > MAX_PLACES:
            raise ConfigError(
                f"The schema declares more than {MAX_PLACES:,} places.", "Split it into smaller records."
            )
        if len(path.segments) > MAX_DEPTH:
            raise too_deep()
        types = distinct(nodes)
        tags = tags.union(*(node.tags for node in (*nodes, *types)))
        loops = any(node is outer for node in types for outer in above)
        if not types:
            return
        if loops or not is_structured(types):
            yield _leaf(types, path, doc, tags)
        elif types[0].kind == "record":
            fields: dict[str, list[Member]] = {}
            for member in (member for node in types for member in node.fields):
                fields.setdefault(member.name, []).append(member)
            for name, members in fields.items():
                yield from self.at(
                    [member.type for member in members],
                    path.child(name),
                    next((member.doc for member in members if member.doc), ""),
                    tags.union(*(member.tags for member in members)),
                    (*above, *types),
                )
        else:
            step = Wild.EACH if types[0].kind == "array" else Wild.ANY
            inner = [node.inner[0] for node in types]
            yield from self.at(inner, path.child(step), doc or types[0].doc, tags, above)


def _leaf(types: list[Node], path: Path, doc: str, tags: frozenset[str]) -> Leaf:
    """What holds for all of `types` alike, or the union of it."""
    enums = [node.symbols for node in types]
    formats = {node.logical.format if node.logical else "" for node in types}
    return Leaf(
        path,
        frozenset[str]().union(*(node.types for node in types)),
        enum=tuple(dict.fromkeys(symbol for symbols in enums for symbol in symbols)) if all(enums) else (),
        format=formats.pop() if len(formats) == 1 else "",
        free=any(node.kind in _STRUCTURES for node in types),
        description=doc or next((node.doc for node in types if node.doc), ""),
        tags=tags,
    )


def refuse_endless(root: Node) -> None:
    """Refuse what a few bytes, or none, could make endless.

    That is a record that always holds itself, items of no bytes, and records of no bytes that double in each other.
    """
    nodes = graph(root)
    known: dict[int, bool] = {}
    if any(node.kind == "array" and takes_no_bytes(node.inner[0], known) for node in nodes):
        raise ConfigError(
            "The schema has an array whose items take no bytes (null, or records without fields).",
            "Give its items a field.",
        )
    for node in nodes:
        takes_no_bytes(node, known)
    counted: dict[int, int] = {}
    for node in nodes:
        if _empty_values(node, known, counted) > MAX_EMPTY:
            raise ConfigError(
                f"The record '{node.name}' holds more than {MAX_EMPTY:,} values that take no bytes (null, or records "
                "without fields).",
                "Leave them out.",
            )


def takes_no_bytes(node: Node, known: dict[int, bool], above: tuple[Node, ...] = ()) -> bool:
    """Whether values of a type are empty. `known` are types that were asked about, `above` the records around it."""
    if any(node is outer for outer in above):
        raise _wrong(f"the record '{node.name}' always holds itself, so that no value of it can end")
    if id(node) not in known:
        fields = [takes_no_bytes(field.type, known, (*above, node)) for field in node.fields]
        is_empty = node.kind == "null" or (node.kind == "fixed" and node.size == 0)
        known[id(node)] = is_empty or (node.kind == "record" and all(fields))
    return known[id(node)]


def _empty_values(node: Node, known: dict[int, bool], counted: dict[int, int]) -> int:
    """How many values that take no bytes stand in each value of a type. No record may always hold itself."""
    if id(node) not in counted:
        within = sum(_empty_values(field.type, known, counted) for field in node.fields)
        counted[id(node)] = within or int(takes_no_bytes(node, known))
    return counted[id(node)]


def graph(root: Node) -> list[Node]:
    """All types that a schema uses, each once."""
    found: dict[int, Node] = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) not in found:
            found[id(node)] = node
            waiting += node.inner
            waiting += [member.type for member in node.fields]
    return list(found.values())


def uses(root: Node) -> list[Node]:
    """All types that a schema uses, each as often as it does."""
    within = [each for node in graph(root) for each in (*node.inner, *(field.type for field in node.fields))]
    return [root, *within]


def too_deep() -> ConfigError:
    """The schema is nested too deeply."""
    return ConfigError(f"The Avro schema is nested deeper than {MAX_DEPTH} levels.", "Flatten it.")


def _wrong(what: str) -> ConfigError:
    return ConfigError(
        f"The schema is not a valid Avro schema: {what}.", "Compare it with Avro's specification."
    )


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _symbols(symbols: Any, full: str) -> tuple[str, ...]:
    if not isinstance(symbols, list) or not all(map(_is_name, symbols)) or len(set(symbols)) < len(symbols):
        raise _wrong(f"the enum '{full}' has no list of symbols, each a name and each once")
    return tuple(symbols)


def _tags(schema: dict[str, Any]) -> frozenset[str]:
    found: set[str] = set()
    for key in TAG_KEYWORDS:
        value = schema.get(key, [])
        tags = [value] if isinstance(value, str) else value
        if not isinstance(tags, list) or not all(isinstance(tag, str) and tag for tag in tags):
            raise ConfigError(
                f"The schema has a '{key}' that is neither a name nor a list of names.",
                f'Write "{key}": ["PII"].',
            )
        found.update(tags)
    return frozenset(found)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
