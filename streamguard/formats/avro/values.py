"""Values as transforms take them: logical types as texts, whole subtrees as plain JSON, and all of it back again.

Inside a subtree bytes are Base64 (RFC 4648, section 4), and NaN and the infinities the texts ``NaN``, ``Infinity`` and
``-Infinity``, as JSON has neither.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Final

from streamguard.errors import ConfigError
from streamguard.formats.avro.logical import Convert
from streamguard.formats.avro.schema import Node, distinct, graph
from streamguard.formats.avro.unions import PYTHON_TYPES, Unions
from streamguard.formats.base import Column

_FAULTS: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
_NOT_FINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class _Values(ABC):
    """One direction. None stands for a conversion that would change nothing; null itself is never converted."""

    def __init__(self, unions: Unions) -> None:
        self.unions = unions
        self._made: dict[tuple[frozenset[int], bool], Convert | None] = {}

    def column(self, nodes: list[Node]) -> Column | None:
        """The conversion of a column of values that are not null, at a place of these types."""
        convert = self.place(nodes, inside=False)
        if convert is None:
            return None

        def column(values: list[Any]) -> list[Any]:
            try:
                return [convert(value) for value in values]
            except _FAULTS:
                raise ValueError("a value that its Avro type has no counterpart for") from None

        return column

    def place(self, nodes: list[Node], *, inside: bool) -> Convert | None:
        """The conversion of a value that has one of these types; `inside` a subtree that is converted as a whole."""
        types = distinct(nodes)
        key = (frozenset(map(id, types)), inside)
        if key not in self._made:

            def later(value: Any) -> Any:
                return made(value)

            self._made[key] = (
                later  # what a type finds inside itself, while its own conversion is not made yet
            )
            made = self._place(types, inside=inside) or _same
            self._made[key] = None if made is _same else made
        return self._made[key]

    def _place(self, types: list[Node], *, inside: bool) -> Convert | None:
        if not any(
            self.converts(node, inside=inside or node is not top) for top in types for node in graph(top)
        ):
            return None
        choices: dict[type, list[tuple[Node, Convert | None]]] = {}
        for node in types:
            convert = self.single(node, inside=inside)
            for python in self.taken(node, inside=inside):
                choices.setdefault(python, []).append((node, convert))
        table = {python: self._choice(python, members) for python, members in choices.items()}
        if len(table) == 1:
            [(python, convert)] = table.items()

            def only(value: Any) -> Any:
                if type(value) is not python:
                    raise TypeError
                return convert(value)

            return only
        return lambda value: table[type(value)](value)

    def _choice(self, python: type, members: list[tuple[Node, Convert | None]]) -> Convert:
        converts = [convert or _same for _, convert in members]
        if all(convert is converts[0] for convert in converts):
            return converts[0]
        if all(node.kind == "record" for node, _ in members):
            place = self.unions.teller([node for node, _ in members])
            return lambda value: converts[place(value)](value)
        by_size = {node.size: convert for (node, _), convert in zip(members, converts, strict=True)}
        if (
            python is bytes
            and all(node.kind == "fixed" for node, _ in members)
            and len(by_size) == len(members)
        ):
            return lambda value: by_size[len(value)](value)
        kinds = sorted({node.kind for node, _ in members})
        raise ConfigError(
            f"Values of the types {' and '.join(kinds)}, which stand in one place of the schema, cannot be told apart.",
            "Give the place one of these types only, or drop or nullify it.",
        )

    @abstractmethod
    def converts(self, node: Node, *, inside: bool) -> bool:
        """Whether values of a type are changed at all, apart from what is inside of them."""

    @abstractmethod
    def taken(self, node: Node, *, inside: bool) -> list[type]:
        """The Python types of what is converted."""

    @abstractmethod
    def scalar(self, node: Node, *, inside: bool) -> Convert | None:
        """The conversion of a single value."""

    @abstractmethod
    def record(self, node: Node, inner: Mapping[str, Convert]) -> Convert:
        """The conversion of a record, by those of its fields that have one; for null they are not asked."""

    def single(self, node: Node, *, inside: bool) -> Convert | None:
        """The conversion of a value of one type."""
        if node.kind == "record":
            found = {field.name: self.place([field.type], inside=True) for field in node.fields}
            return self.record(node, {name: convert for name, convert in found.items() if convert})
        if node.kind not in ("array", "map"):
            return self.scalar(node, inside=inside)
        convert = self.place(node.inner, inside=True)
        if convert is None:
            return None
        if node.kind == "array":
            return lambda items: [item if item is None else convert(item) for item in items]
        return lambda entries: {
            key: value if value is None else convert(value) for key, value in entries.items()
        }


class Lift(_Values):
    """From documents to what transforms take."""

    def converts(self, node: Node, *, inside: bool) -> bool:
        if node.logical is not None:
            return node.logical.lift is not None
        return inside and node.kind in ("bytes", "fixed", "float", "double")

    def taken(self, node: Node, *, inside: bool) -> list[type]:
        return [PYTHON_TYPES[node.kind]]

    def scalar(self, node: Node, *, inside: bool) -> Convert | None:
        if not self.converts(node, inside=inside):
            return None
        if node.logical is not None:
            return node.logical.lift
        return _base64 if node.kind in ("bytes", "fixed") else _finite

    def record(self, node: Node, inner: Mapping[str, Convert]) -> Convert:
        def convert(value: dict[str, Any]) -> dict[str, Any]:
            lifted = dict(value)
            for name, convert in inner.items():
                if lifted[name] is not None:
                    lifted[name] = convert(lifted[name])
            return lifted

        return convert


class Lower(_Values):
    """From what transforms take to documents."""

    def converts(self, node: Node, *, inside: bool) -> bool:
        if node.logical is not None:
            return node.logical.lower is not None
        return self.unions.is_told(node) or (inside and node.kind in ("bytes", "fixed", "float", "double"))

    def taken(self, node: Node, *, inside: bool) -> list[type]:
        if node.logical is not None:
            return [str]
        if inside and node.kind in ("float", "double"):
            return [float, str]
        if inside and node.kind in ("bytes", "fixed"):
            return [str]
        return [PYTHON_TYPES[node.kind]]

    def scalar(self, node: Node, *, inside: bool) -> Convert | None:
        if not self.converts(node, inside=inside):
            return None
        if node.logical is not None:
            return node.logical.lower
        return _bytes if node.kind in ("bytes", "fixed") else _any_real

    def record(self, node: Node, inner: Mapping[str, Convert]) -> Convert:
        names = [self.unions.name(node, field.name) for field in node.fields]

        def convert(value: dict[str, Any]) -> dict[str, Any]:
            if len(value) != len(names):
                raise ValueError
            lowered = {name: value[name] for name in names}
            for name, convert in inner.items():
                if lowered[name] is not None:
                    lowered[name] = convert(lowered[name])
            return lowered

        return convert


def _same(value: Any) -> Any:
    return value


def _base64(value: bytes) -> str:
    return b64encode(value).decode()


def _bytes(text: str) -> bytes:
    value = b64decode(text, validate=True)
    if _base64(value) != text:
        raise ValueError
    return value


def _finite(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _any_real(value: float | str) -> float:
    return _NOT_FINITE[value] if isinstance(value, str) else value
