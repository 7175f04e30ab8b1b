"""The schema of what leaves: the schema that came, with each protected place as its transform leaves it.

A type that is used in several places and changed in them differently becomes several types: the first keeps its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from streamguard.errors import ConfigError
from streamguard.formats.avro.schema import Member, Node, Reader, distinct, graph, takes_no_bytes
from streamguard.formats.base import TAG_KEYWORDS, Change
from streamguard.policy.paths import Path, Segment, Wild

_AVRO: Final = {
    "string": "string",
    "integer": "long",
    "number": "double",
    "boolean": "boolean",
    "bytes": "bytes",
}
_DROPPED: Final = object()

Changes = dict[tuple[Segment, ...], Change]
"""What changes at a place (the empty path) and below it."""


def derived(root: Node, changes: Mapping[Path, Change]) -> tuple[Any, dict[str, str]]:
    """The schema after `changes`, with every type it refers to inside; and the records' names before, by their names.

    Raises ConfigError for a change that Avro has no type for.
    """
    writing = _Writing(root)
    schema = writing.place(root, {path.segments: change for path, change in changes.items()}, "")
    if schema is _DROPPED:
        raise ConfigError("The policy drops the whole value.", "Drop fields of it instead.")
    known: dict[int, bool] = {}
    for node in graph(Reader({}).read(schema)):
        if node.kind == "array" and takes_no_bytes(node.inner[0], known):
            # Of items that became null, or lost all fields, a reader would take any number from a few bytes.
            node.json["items"] = [node.json["items"]]
        for member in node.fields:
            if id(member.json) in writing.touched and not _default_fits(member):
                del member.json["default"]
    return schema, writing.origins


class _Writing:
    """Writes a schema out anew. `touched` are the fields that something changed at or below, by identity."""

    def __init__(self, root: Node) -> None:
        self.touched: set[int] = set()
        self.origins: dict[str, str] = {}
        self._taken = {node.name for node in graph(root) if node.name}
        self._written: dict[tuple[int, frozenset[tuple[tuple[Segment, ...], Change]]], str] = {}
        self._defined: set[str] = set()
        self._kept: list[dict[str, Any]] = []  # alive, so that identities stay true

    def place(self, node: Node, changes: Changes, space: str) -> Any:
        """The type of a place, inside the namespace `space`; `_DROPPED` when nothing stands there any more."""
        change = changes.get(())
        if change is None:
            return self.type(node, changes, space)
        nullable = any(member.kind == "null" for member in node.members)
        if change.keeps:
            same = self.type(node, {}, space)
            if nullable or not change.nulls:
                return same
            return [*(same if isinstance(same, list) else [same]), "null"]
        if not change.types:
            return "null" if change.nulls else _DROPPED
        if not change.types <= _AVRO.keys():
            raise ConfigError(
                "A transform makes objects or arrays, which an Avro schema would have to describe.",
                "Use a transform that makes a text, or one that keeps what the schema says.",
            )
        types = [_plain(node, avro) for name, avro in _AVRO.items() if name in change.types]
        if not nullable and not change.nulls:
            return types if len(types) > 1 else types[0]
        first = node.kind == "union" and node.inner[0].kind == "null"
        return ["null", *types] if first else [*types, "null"]

    def type(self, node: Node, changes: Changes, space: str) -> Any:
        """A type of which parts may change."""
        if node.kind == "union":
            return [self.type(member, changes, space) for member in node.inner]
        if node.kind in ("array", "map"):
            key, step = ("items", Wild.EACH) if node.kind == "array" else ("values", Wild.ANY)
            [inner] = node.inner
            below = _below(changes, step)
            written = self.place(inner, below, space)
            if written is _DROPPED:
                written = self.type(inner, {}, space)  # no item is left, and so any type holds
            return _untagged(node.json, _is_protected([node], changes)) | {key: written}
        if node.name:
            return self.named(node, changes, space)
        return node.json

    def named(self, node: Node, changes: Changes, space: str) -> Any:
        """A named type: its definition where it first comes, and its name afterwards."""
        names = {field.name for field in node.fields}
        changes = {path: change for path, change in changes.items() if path and path[0] in (*names, Wild.ANY)}
        key = (id(node), frozenset(changes.items()))
        if key in self._written:
            full = self._written[key]
            home, _, short = full.rpartition(".")
            if home or not space:
                return short if home == space else full
            # Inside a namespace nothing names a type that has none: it has to be defined again.
        is_first = node.name not in self._defined
        full = node.name if is_first else self._free_name(node.name)
        self._written[key] = full
        self._defined.add(full)
        home, _, short = full.rpartition(".")
        definition = _untagged(node.json, _is_protected([node], changes)) | {"name": short}
        if home != space or "namespace" in definition:
            definition["namespace"] = home
        if not is_first:
            definition.pop("aliases", None)  # they belong to the first
        if node.kind == "record":
            self.origins[full] = node.name
            definition["fields"] = list(self.fields(node, changes, home))
        return definition

    def fields(self, node: Node, changes: Changes, space: str) -> Iterator[dict[str, Any]]:
        """The fields that stay."""
        for member in node.fields:
            below = _below(changes, member.name)
            written = self.place(member.type, below, space)
            if written is _DROPPED:
                continue
            field = _untagged(member.json, _is_protected([member.type], below)) | {"type": written}
            if any(not change.keeps or change.nulls for change in below.values()):
                self.touched.add(id(field))
                self._kept.append(field)
            yield field

    def _free_name(self, full: str) -> str:
        number = 2
        while f"{full}_{number}" in self._taken:
            number += 1
        self._taken.add(f"{full}_{number}")
        return f"{full}_{number}"


def _below(changes: Changes, step: Segment) -> Changes:
    """What of `changes` holds one step further. A path that names a step outdoes one that says ``*``."""
    exact, wild = (step,), (Wild.ANY,) if step is not Wild.EACH else ()
    return {
        path[1:]: change
        for steps in (wild, exact)
        for path, change in changes.items()
        if path and path[0] in steps
    }


def _is_protected(nodes: list[Node], changes: Changes, above: tuple[Node, ...] = ()) -> bool:
    """Whether nothing of a place is left as it came. `above` are the records that it is inside of."""
    if () in changes:
        return not changes[()].keeps
    types = distinct(nodes)
    if not changes or any(node is outer for node in types for outer in above):
        return False
    return all(
        all(
            _is_protected([field.type], _below(changes, field.name), (*above, node))
            for field in node.fields
            if distinct([field.type])
        )
        if node.kind == "record"
        else bool(node.inner)
        and _is_protected(
            node.inner, _below(changes, Wild.EACH if node.kind == "array" else Wild.ANY), (*above, node)
        )
        for node in types
    )


def _plain(node: Node, kind: str) -> Any:
    """A primitive type in the words of the place's own schema, if it was that before."""
    for member in node.members:
        if member.kind == kind and member.logical is None and isinstance(member.json, dict):
            kept = {
                name: value
                for name, value in member.json.items()
                if name not in TAG_KEYWORDS and name != "logicalType"
            }
            return kind if kept == {"type": kind} != member.json else kept
    return kind


def _untagged(json: dict[str, Any], is_protected: bool) -> dict[str, Any]:  # noqa: FBT001  one question, asked before
    return {name: value for name, value in json.items() if not is_protected or name not in TAG_KEYWORDS}


def _default_fits(member: Member) -> bool:
    if "default" not in member.json:
        return True
    return _fits(member.json["default"], member.type)


def _fits(value: Any, node: Node) -> bool:
    """Whether a default, as JSON has it, is a value of a type. Of a union it has to be the first member's."""
    match node.kind:
        case "array":
            return isinstance(value, list) and all(_fits(item, node.inner[0]) for item in value)
        case "map":
            return isinstance(value, dict) and all(_fits(item, node.inner[0]) for item in value.values())
        case "record":
            return (
                isinstance(value, dict)
                and value.keys() <= {field.name for field in node.fields}
                and all(
                    _fits(value[field.name], field.type) if field.name in value else "default" in field.json
                    for field in node.fields
                )
            )
        case "union":
            return _fits(value, node.inner[0])
        case _:
            return _SINGLE[node.kind](value, node)


def _is_integer(value: Any, bits: int) -> bool:
    return type(value) is int and -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)


def _is_latin(value: Any) -> bool:
    """Bytes in JSON are characters of Latin-1."""
    return isinstance(value, str) and all(ord(character) < 256 for character in value)


_SINGLE: Final[dict[str, Callable[[Any, Node], bool]]] = {
    "null": lambda value, _: value is None,
    "boolean": lambda value, _: isinstance(value, bool),
    "int": lambda value, _: _is_integer(value, 32),
    "long": lambda value, _: _is_integer(value, 64),
    "float": lambda value, _: type(value) in (int, float),
    "double": lambda value, _: type(value) in (int, float),
    "string": lambda value, _: isinstance(value, str),
    "bytes": lambda value, _: _is_latin(value),
    "fixed": lambda value, node: _is_latin(value) and len(value) == node.size,
    "enum": lambda value, node: value in node.symbols,
}
