"""Which member of a union a document's value is: the one that was read is the one that has to be written.

Mostly the value's Python type says it. Two enums are told apart by their symbols, two fixed types by their size.
Records are told apart by the identity of their names: where some union holds two records, every record is read with
name objects of its own, equal to all others of that text, and a dict keeps the object a name was first set with. So
nothing is added to the document, and transforms may set and delete its values as they like. A record that comes with
other name objects is told by its set of names, if only one member has that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from streamguard.formats.avro.schema import Node, graph

PYTHON_TYPES: Final[dict[str, type]] = {
    "boolean": bool,
    "int": int,
    "long": int,
    "float": float,
    "double": float,
    "string": str,
    "enum": str,
    "bytes": bytes,
    "fixed": bytes,
    "array": list,
    "map": dict,
    "record": dict,
}
"""What values are in documents."""


class Names:
    """Names of records' fields, as objects that tell whose they are. Shared by a form and those derived from it."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], str] = {}
        self._owners: dict[int, str] = {}

    def of(self, record: str, name: str) -> str:
        """The name object of a record's field. Python has one object only for each name of one letter."""
        if len(name) < 2:
            return name
        made = self._made.get((record, name))
        if made is None:
            made = self._made[record, name] = name[:1] + name[1:]
            self._owners[id(made)] = record
        return made

    def owner(self, document: dict[str, Any]) -> str | None:
        """The record that a document was read as."""
        for name in document:
            record = self._owners.get(id(name))
            if record is not None:
                return record
        return None


class Unions:
    """The unions of one schema. `origins` are full names of records in the schema that this one was derived from."""

    def __init__(self, root: Node, names: Names, origins: Mapping[str, str]) -> None:
        self.names = names
        self.origins = origins
        nodes = graph(root)
        crowds = [members for union in nodes if union.kind == "union" for members in crowded(union)]
        has_records = any(node.kind == "record" for crowd in crowds for node in crowd)
        self._told = {id(node) for node in nodes if node.kind == "record" and has_records}
        self.untold = [crowd for crowd in crowds if not self.tells(crowd)]
        """Members that cannot be told apart. Where there are any, documents can be read but not written."""

    def origin(self, record: Node) -> str:
        """The name of a record in the schema that documents are read with."""
        return self.origins.get(record.name, record.name)

    def name(self, record: Node, name: str) -> str:
        """The object that a field's name is read as."""
        return self.names.of(self.origin(record), name) if id(record) in self._told else name

    def is_told(self, record: Node) -> bool:
        """Whether a record's names are objects of its own."""
        return id(record) in self._told

    def tells(self, members: list[Node]) -> bool:
        """Whether values of these members, all of one Python type, can be told apart."""
        kinds = {node.kind for node in members}
        if kinds == {"enum"}:
            symbols = [symbol for node in members for symbol in node.symbols]
            return len(set(symbols)) == len(symbols)
        if kinds == {"fixed"}:
            return len({node.size for node in members}) == len(members)
        if kinds != {"record"}:
            return False
        # Those without any name that is an object of its own are told by their set of names, so nobody may share it.
        sets = [frozenset(field.name for field in node.fields) for node in members]
        return all(sets.count(each) == 1 or any(len(name) > 1 for name in each) for each in sets)

    def teller(self, members: list[Node]) -> Callable[[dict[str, Any]], int]:
        """What says which of these records a document is, as its place among them. Raises ValueError when none is."""
        by_record = {self.origin(node): place for place, node in enumerate(members)}
        sets = [frozenset(field.name for field in node.fields) for node in members]
        by_names = {each: place for place, each in enumerate(sets) if sets.count(each) == 1}
        owner = self.names.owner

        def place(document: dict[str, Any]) -> int:
            record = owner(document)
            found = by_names.get(frozenset(document)) if record is None else by_record.get(record)
            if found is None:
                raise ValueError
            return found

        return place


def by_type(union: Node) -> dict[type, list[Node]]:
    """A union's members by the Python type of their values, without null."""
    found: dict[type, list[Node]] = {}
    for node in union.inner:
        if node.kind != "null":
            found.setdefault(PYTHON_TYPES[node.kind], []).append(node)
    return found


def crowded(union: Node) -> list[list[Node]]:
    """Members of a union whose values are of one Python type."""
    return [members for members in by_type(union).values() if len(members) > 1]
