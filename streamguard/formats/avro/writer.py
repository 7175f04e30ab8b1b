"""Writing Avro's binary encoding: nothing is bent into a type that it does not have."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from streamguard.formats.avro.schema import PRIMITIVES, Node
from streamguard.formats.avro.source import Source
from streamguard.formats.avro.unions import Unions, by_type

_KNOWN_LENGTHS: Final = 1024
_SINGLE: Final = PRIMITIVES | {"fixed", "enum"}
# Numbers of 14 bits: as the two bytes that more follow, and as the one or two bytes at the end.
_PAIRS: Final = tuple(bytes((number & 127 | 128, number >> 7 | 128)) for number in range(1 << 14))
_ENDS: Final = tuple(
    bytes((number,)) if number < 128 else bytes((number & 127 | 128, number >> 7))
    for number in range(1 << 14)
)


def _varint(number: int) -> bytes:
    """A number without a sign, seven bits to a byte, the lowest first."""
    if number < 1 << 14:
        return _ENDS[number]
    return _PAIRS[number & 16383] + _varint(number >> 14)


def _long(value: int) -> bytes:
    """A zig-zag number. Raises ValueError beyond 64 bits."""
    number = (value << 1) ^ (value >> 63)
    if not 0 <= number < 1 << 64:
        raise ValueError
    return _varint(number)


def _int(value: int) -> bytes:
    """A zig-zag number. Raises ValueError beyond 32 bits."""
    if not -(2**31) <= value < 2**31:
        raise ValueError
    return _varint((value << 1) ^ (value >> 31))


def _real(value: Any) -> float:
    """An integer that stands where a fraction may. Raises ValueError for all else, and where digits would be lost."""
    if type(value) is not int or int(real := float(value)) != value:
        raise ValueError
    return real


@lru_cache
def _lengths(position: bytes) -> tuple[bytes, ...]:
    """Lengths as they are written behind a position in a union."""
    return tuple(position + _varint(length << 1) for length in range(_KNOWN_LENGTHS))


def writer(root: Node, unions: Unions) -> Callable[[Any], bytes]:
    """What turns a document into bytes. Raises ValueError for one that the schema does not describe."""
    return _WriterSource(root, unions).compiled()


class _WriterSource(Source):
    """Functions take a value `v`, the list of parts `p` and how deep they stand `d`."""

    def __init__(self, root: Node, unions: Unions) -> None:
        super().__init__(root, unions)
        self.names |= {
            "write_long": _long,
            "write_int": _int,
            "write_float": struct.Struct("<f").pack,
            "write_double": struct.Struct("<d").pack,
            "write_many": lambda values, letter: struct.pack(f"<{len(values)}{letter}", *values),
            "real": _real,
            "SMALL": {number: _long(number) for number in range(-64, 64)},
            "TRUE": b"\1",
            "FALSE": b"\0",
            "END": b"\0",
        }
        self.parts: list[str] = []
        self.lengths: dict[bytes, str] = {}

    def main(self, entry: str) -> None:
        with self.block("def main(v):"):
            self.line("p = []")
            with self.block("try:"):
                self.line(f"{entry}(v, p, 0)")
                self.line("return b''.join(p)")
            self.line("except (*FAULTS, RecursionError): raise ValueError(MESSAGE) from None")
        self.names["MESSAGE"] = "the document does not fit its Avro schema"

    def body(self, node: Node, name: str) -> None:
        with self.block(f"def {name}(v, p, d):"):
            self.inline(node, "v", b"")
            self.flush()

    def push(self, *parts: str) -> None:
        """Expressions of bytes that come next. They are added together, as late as can be."""
        self.parts += [part for part in parts if part != "b''"]

    def flush(self) -> None:
        if len(self.parts) == 1:
            self.line(f"p.append({self.parts[0]})")
        elif self.parts:
            self.line(f"p += ({', '.join(self.parts)})")
        self.parts = []

    @contextmanager
    def branch(self, head: str) -> Iterator[None]:
        """A block after which nothing is left to be added."""
        with self.block(head):
            self.line("pass")
            yield
            self.flush()

    def value(self, node: Node, value: str, position: bytes = b"") -> None:
        """Lines that write the value of a variable, behind its position in a union."""
        if self.stands_alone(node):
            if position:
                self.push(repr(position))
            self.flush()
            self.line(f"{self.function(node)}({value}, p, d + {self.depth})")
        else:
            self.inline(node, value, position)

    def inline(self, node: Node, value: str, position: bytes) -> None:
        if node.kind in _SINGLE:
            self.push(*self.single(node, value, position))
        else:
            if position:
                self.push(repr(position))
            getattr(self, f"write_{node.kind}")(node, value)

    def require(self, condition: str) -> None:
        self.line(f"if not ({condition}): raise ValueError")

    def single(self, node: Node, value: str, position: bytes) -> tuple[str, str]:
        """Lines that look at a single value; and expressions of its two parts, the first with its position."""
        head = repr(position)
        match node.kind:
            case "null":
                self.require(f"{value} is None")
                return head, "b''"
            case "boolean":
                self.require(f"{value} is True or {value} is False")
                return head, f"TRUE if {value} else FALSE"
            case "int" | "long":
                self.require(f"type({value}) is int")
                return head, f"SMALL[{value}] if -64 <= {value} < 64 else write_{node.kind}({value})"
            case "float" | "double":
                self.line(f"if type({value}) is not float: {value} = real({value})")
                return head, f"write_{node.kind}({value})"
            case "fixed":
                self.require(f"type({value}) is bytes and len({value}) == {node.size}")
                return head, value
            case "enum":
                written = {symbol: position + _long(place) for place, symbol in enumerate(node.symbols)}
                return f"{self.constant(written)}[{value}]", "b''"
            case "bytes":
                self.require(f"type({value}) is bytes")
                return self.length(value, position), value
            case _:
                text = self.name()
                self.line(f"{text} = {value}.encode()")
                return self.length(text, position), text

    def length(self, value: str, position: bytes = b"") -> str:
        """An expression of a length, behind a position."""
        if position not in self.lengths:
            self.lengths[position] = self.constant(_lengths(position))
        known = f"{self.lengths[position]}[n] if (n := len({value})) < {_KNOWN_LENGTHS}"
        return f"{known} else {position!r} + write_long(n)"

    def write_record(self, node: Node, value: str) -> None:
        if not node.fields:
            self.require(f"type({value}) is dict")
        with self.container():
            for member in node.fields:
                inner = self.name()
                self.line(f"{inner} = {value}[{member.name!r}]")
                self.value(member.type, inner)

    def write_array(self, node: Node, value: str) -> None:
        [inner] = node.inner
        self.require(f"type({value}) is list")
        self.flush()
        with self.container(), self.branch(f"if {value}:"):
            self.push(self.length(value))
            if inner.kind in ("float", "double"):
                self.push(f"write_many({value}, '{inner.kind[0]}')")
            else:
                self.flush()
                item = self.name()
                with self.branch(f"for {item} in {value}:"):
                    self.value(inner, item)
        self.push("END")

    def write_map(self, node: Node, value: str) -> None:
        self.require(f"type({value}) is dict")
        self.flush()
        key, inner = self.name(), self.name()
        with self.container(), self.branch(f"if {value}:"):
            self.push(self.length(value))
            self.flush()
            with self.branch(f"for {key}, {inner} in {value}.items():"):
                text = self.name()
                self.line(f"{text} = {key}.encode()")
                self.push(self.length(text), text)
                self.value(node.inner[0], inner)
        self.push("END")

    def write_union(self, node: Node, value: str) -> None:
        positions = {id(member): _long(place) for place, member in enumerate(node.inner)}
        null = next((positions[id(member)] for member in node.inner if member.kind == "null"), None)
        groups = by_type(node)
        others = [member for member in node.inner if member.kind != "null"]
        if null is not None and len(others) == 1 and others[0].kind in _SINGLE:
            self.write_nullable(others[0], value, null, positions[id(others[0])])
            return
        self.flush()
        self.line(f"if {value} is None: {'raise ValueError' if null is None else f'p.append({null!r})'}")
        for python, members in groups.items():
            with self.branch(f"elif type({value}) is {python.__name__}:"):
                self.told(members, value, positions)
        self.line("else: raise ValueError")

    def write_nullable(self, node: Node, value: str, null: bytes, position: bytes) -> None:
        """The same for null and one single value, as two parts in any case: so nothing has to be added before."""
        head, tail = self.name(), self.name()
        self.line(f"if {value} is None: {head} = {null!r}; {tail} = b''")
        with self.block("else:"):
            first, second = self.single(node, value, position)
            self.line(f"{head} = {first}; {tail} = {second}")
        self.push(head, tail)

    def told(self, members: list[Node], value: str, positions: dict[int, bytes]) -> None:
        """Lines that write a value as the one of `members` that it is."""
        if len(members) == 1:
            self.value(members[0], value, positions[id(members[0])])
        elif not self.unions.tells(members):
            self.line("raise ValueError")
        elif members[0].kind == "enum":
            written = {
                symbol: positions[id(node)] + _long(place)
                for node in members
                for place, symbol in enumerate(node.symbols)
            }
            self.push(f"{self.constant(written)}[{value}]")
        else:
            records = members[0].kind == "record"
            place = f"{self.constant(self.unions.teller(members))}({value})" if records else f"len({value})"
            self.line(f"n = {place}")
            for index, node in enumerate(members):
                with self.branch(f"{'el' if index else ''}if n == {index if records else node.size}:"):
                    self.value(node, value, positions[id(node)])
            self.line("else: raise ValueError")
