"""Avro: one schema, compiled.

Bytes are Avro's binary encoding and nothing around it. Documents hold what that encoding holds: a date is a number of
days, a decimal its bytes. Transforms see the logical types (`AvroForm.lift`), and what no transform touches is written
as it was read, to the byte.

Every union can be read. One whose members cannot be told apart afterwards (``int`` beside ``long``, ``string`` beside
an enum) cannot be written, so `AvroForm.changed` refuses a schema that still has one: protect its place, and it goes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Final

from streamguard.errors import ConfigError
from streamguard.formats.avro.derived import derived
from streamguard.formats.avro.reader import reader
from streamguard.formats.avro.schema import Node, Reader, leaves_of, refuse_endless, too_deep
from streamguard.formats.avro.source import Malformed
from streamguard.formats.avro.unions import Names, Unions
from streamguard.formats.avro.values import Lift, Lower
from streamguard.formats.avro.writer import writer
from streamguard.formats.base import Change, Column, Form, Leaf
from streamguard.policy.paths import Path

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


class AvroForm(Form):
    """An Avro schema, as parsed JSON, with the parsed schemas of the types that it refers to by their full names.

    A schema that is no record has leaves too: ``[*]…`` for an array, ``*…`` for a map, and for a single value (which is
    what many keys are) one leaf with the empty path. Where a type holds itself, or a place mixes objects with other
    things, the leaf is free: its values are protected as a whole or not at all.

    `names` and `origins` are for derived forms: see `Unions`.
    """

    name: ClassVar[str] = "avro"
    failures: ClassVar[tuple[type[Exception], ...]] = (Malformed,)

    def __init__(
        self,
        schema: Any,
        references: Mapping[str, Any] = _NONE,
        *,
        names: Names | None = None,
        origins: Mapping[str, str] = _NONE,
    ) -> None:
        source = Reader(references)
        try:
            self._root = source.read(schema)
            self.record_name = self._root.name
            self._leaves = leaves_of(self._root)
            refuse_endless(self._root)
            self._unions = Unions(self._root, names or Names(), origins)
            self.decode = reader(self._root, self._unions)
            self.encode = writer(self._root, self._unions)
            self._schema = derived(self._root, {})[0] if source.referred else schema
        except RecursionError:
            raise too_deep() from None

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        return self._leaves

    @cached_property
    def is_closed(self) -> bool:
        return not any(leaf.free for leaf in self._leaves)

    def reason(self, value: bytes) -> str:
        try:
            self.decode(value)
        except Malformed as error:
            return error.reason
        return Malformed.reason

    @property
    def text(self) -> str:
        """Compact JSON, which refers to nothing outside: types of other schemas are written into it."""
        written = json.dumps(self._schema, ensure_ascii=False, separators=(",", ":"))
        # Half a character, which JSON can escape and UTF-8 cannot hold, stays escaped: \ud800.
        return written.encode(errors="backslashreplace").decode()

    def lift(self, path: Path) -> Column | None:
        """Raises ConfigError where values of one Python type would have to be lifted differently."""
        return Lift(self._unions).column(self._nodes(path))

    def lower(self, path: Path) -> Column | None:
        """Raises ConfigError where a text could be of several types."""
        return Lower(self._unions).column(self._nodes(path))

    def changed(self, changes: Mapping[Path, Change]) -> AvroForm:
        """Raises ConfigError when Avro has no type for what a transform makes, or a union could not be written.

        So it does where a protected place has values that cannot be lifted, or lowered where they have to be.
        """
        try:
            form = self._changed(changes)
            form.refuse_untold()
            for path, change in changes.items():
                if change.types:
                    self.lift(path)
                if change.keeps:
                    form.lower(path)
        except RecursionError:
            raise too_deep() from None
        return form

    def _changed(self, changes: Mapping[Path, Change]) -> AvroForm:
        schema, origins = derived(self._root, changes)
        if schema == derived(self._root, {})[0]:
            return self
        known = {name: self._unions.origins.get(origin, origin) for name, origin in origins.items()}
        return AvroForm(schema, names=self._unions.names, origins=known)

    def refuse_untold(self) -> None:
        """Raise ConfigError when the schema has a union of which a value does not tell which member it was."""
        for members in self._unions.untold:
            kinds = " and ".join(node.name or node.kind for node in members)
            raise ConfigError(
                f"The schema has a union of {kinds}, and a value that was read does not tell which of them it was.",
                "Protect or drop the field, or give it one of these types only.",
            )

    def _nodes(self, path: Path) -> list[Node]:
        """The types that may stand at a path."""
        nodes = [self._root]
        for segment in path.segments:
            below = [inner for node in nodes for inner in node.below(segment)]
            nodes = list({id(node): node for node in below}.values())
        return nodes
