"""Reading Avro's binary encoding: strictly, so that each value has one encoding only but for the blocks of arrays."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from streamguard.formats.avro.schema import Node
from streamguard.formats.avro.source import Malformed, Source, TooLarge
from streamguard.formats.avro.unions import Unions

_SHIFTS: Final = range(7, 70, 7)
# What the marks of all bytes but the last add to a number that ends at a shift.
_MARKS: Final = {shift: sum(128 << below for below in range(0, shift, 7)) for shift in _SHIFTS}
# By a first byte: the value of a number of one byte, and what a text of such a length spans together with it.
_ONE_BYTE: Final = tuple((byte >> 1) ^ -(byte & 1) if byte < 128 else None for byte in range(256))
_SPANS: Final = tuple(1 + (byte >> 1) if byte < 128 and not byte & 1 else 0 for byte in range(256))


def _read_long(data: bytes, at: int, bits: int = 64) -> tuple[int, int]:
    """A zig-zag number of several bytes, of no more than it needs, and of at most `bits`; and where it ends."""
    number = data[at]
    for shift in _SHIFTS:
        at += 1
        byte = data[at]
        number += byte << shift
        if byte < 128:
            if byte == 0:
                raise Malformed
            number -= _MARKS[shift]
            if number >> bits:
                raise TooLarge
            return (number >> 1) ^ -(number & 1), at + 1
    raise TooLarge


def _read_int(data: bytes, at: int) -> tuple[int, int]:
    return _read_long(data, at, 32)


def _read_length(data: bytes, at: int) -> tuple[int, int]:
    """A length that is negative, or of several bytes."""
    first = data[at]
    if first & 1:
        raise Malformed
    if first < 128:
        return first >> 1, at + 1
    return _read_long(data, at)


def _read_block(data: bytes, at: int, count: int) -> tuple[int, int, int]:
    """A block with a negative count tells its size in bytes: the true count, where it begins, and where it must end."""
    size, at = _read_length(data, at)
    return -count, at, at + size


def _read_many(data: bytes, at: int, count: int, letter: str, width: int) -> tuple[int, ...]:
    if count * width > len(data) - at:
        raise Malformed
    return struct.unpack_from(f"<{count}{letter}", data, at)


def reader(root: Node, unions: Unions) -> Callable[[Any], Any]:
    """What turns the bytes of a value into a document. Raises `Malformed`."""
    return _ReaderSource(root, unions).compiled()


class _ReaderSource(Source):
    """Functions take the bytes `b`, where to begin `i` and how deep they stand `d`; they return a value and its end."""

    def __init__(self, root: Node, unions: Unions) -> None:
        super().__init__(root, unions)
        self.names |= {
            "ONE_BYTE": _ONE_BYTE,
            "SPANS": _SPANS,
            "read_long": _read_long,
            "read_int": _read_int,
            "read_length": _read_length,
            "read_block": _read_block,
            "read_many": _read_many,
            "read_float": struct.Struct("<f").unpack_from,
            "read_double": struct.Struct("<d").unpack_from,
        }

    def main(self, entry: str) -> None:
        with self.block("def main(b):"):
            self.line("if type(b) is not bytes: b = bytes(b)")
            with self.block("try:"):
                self.line(f"v, i = {entry}(b, 0, 0)")
            self.line("except Malformed: raise")
            self.line("except RecursionError: raise TooDeep from None")
            self.line("except FAULTS: raise Malformed from None")
            self.line("if i != len(b): raise Malformed")
            self.line("return v")

    def body(self, node: Node, name: str) -> None:
        with self.block(f"def {name}(b, i, d):"):
            value = self.name()
            self.inline(node, value)
            self.line(f"return {value}, i")

    def value(self, node: Node, into: str) -> None:
        """Lines that read one value into a variable."""
        if self.stands_alone(node):
            self.line(f"{into}, i = {self.function(node)}(b, i, d + {self.depth})")
        else:
            self.inline(node, into)

    def inline(self, node: Node, into: str) -> None:
        getattr(self, f"read_{node.kind}")(node, into)

    def read_null(self, node: Node, into: str) -> None:
        self.line(f"{into} = None")

    def read_boolean(self, node: Node, into: str) -> None:
        self.line(f"{into} = b[i]; i += 1")
        self.line(f"if {into} > 1: raise Malformed")
        self.line(f"{into} = {into} == 1")

    def read_long(self, node: Node, into: str, function: str = "read_long") -> None:
        self.line(f"{into} = ONE_BYTE[b[i]]")
        self.line(f"if {into} is None: {into}, i = {function}(b, i)")
        self.line("else: i += 1")

    def read_int(self, node: Node, into: str) -> None:
        self.read_long(node, into, "read_int")

    def read_float(self, node: Node, into: str) -> None:
        self.line(f"{into}, = read_{node.kind}(b, i); i += {4 if node.kind == 'float' else 8}")

    read_double = read_float

    def read_string(self, node: Node, into: str, decode: str = ".decode()") -> None:
        self.line("n = SPANS[b[i]]")
        self.line(f"if n: j = i + n; {into} = b[i + 1:j]{decode}")
        self.line(f"else: n, i = read_length(b, i); j = i + n; {into} = b[i:j]{decode}")
        self.line("i = j")

    def read_bytes(self, node: Node, into: str) -> None:
        self.read_string(node, into, "")

    def read_fixed(self, node: Node, into: str) -> None:
        self.line(f"j = i + {node.size}; {into} = b[i:j]; i = j")
        # Elsewhere the next read, or the end, tells. Items of an array may all be fixed.
        self.line("if i > len(b): raise Malformed")

    def read_enum(self, node: Node, into: str) -> None:
        if len(node.symbols) <= 64:
            symbols = {2 * place: symbol for place, symbol in enumerate(node.symbols)}
            self.line(f"{into} = {self.constant(symbols)}[b[i]]; i += 1")
        else:
            symbols = dict(enumerate(node.symbols))
            self.read_long(node, into)
            self.line(f"{into} = {self.constant(symbols)}[{into}]")

    def read_record(self, node: Node, into: str) -> None:
        pairs = []
        with self.container():
            for member in node.fields:
                value = self.name()
                self.value(member.type, value)
                name = repr(member.name)
                if self.unions.is_told(node):
                    name = self.constant(self.unions.name(node, member.name))
                pairs.append(f"{name}: {value}")
        self.line(f"{into} = {{{', '.join(pairs)}}}")

    def read_union(self, node: Node, into: str) -> None:
        one_byte = len(node.inner) <= 64
        if one_byte:
            self.line(f"{into} = b[i]; i += 1")
        else:
            self.read_long(node, into)
        for position, member in enumerate(node.inner):
            with self.block(f"{'el' if position else ''}if {into} == {position * (1 + one_byte)}:"):
                self.value(member, into)
        self.line("else: raise Malformed")

    @contextmanager
    def blocks(self) -> Iterator[str]:
        """The loops over blocks and the items in each; gives the variable of how many items a block has."""
        count, end = self.name(), self.name()
        self.read_long(self.root, count)
        with self.block(f"while {count}:"):
            self.line(f"{end} = -1")
            self.line(f"if {count} < 0: {count}, i, {end} = read_block(b, i, {count})")
            yield count
            self.line(f"if {end} >= 0 and {end} != i: raise Malformed")
            self.read_long(self.root, count)

    def read_array(self, node: Node, into: str) -> None:
        [inner] = node.inner
        items, item = self.name(), self.name()
        self.line(f"{items} = []")
        with self.container(), self.blocks() as count:
            if inner.kind in ("float", "double"):
                width = 4 if inner.kind == "float" else 8
                self.line(
                    f"{items} += read_many(b, i, {count}, '{inner.kind[0]}', {width}); i += {count} * {width}"
                )
            else:
                with self.block(f"for _ in range({count}):"):
                    self.value(inner, item)
                    self.line(f"{items}.append({item})")
        self.line(f"{into} = {items}")

    def read_map(self, node: Node, into: str) -> None:
        entries, key, value, size = (self.name() for _ in range(4))
        self.line(f"{entries} = {{}}")
        self.line(f"{size} = 0")
        with self.container(), self.blocks() as count:
            self.line(f"{size} += {count}")
            with self.block(f"for _ in range({count}):"):
                self.read_string(node, key)
                self.value(node.inner[0], value)
                self.line(f"{entries}[{key}] = {value}")
        self.line(f"if len({entries}) != {size}: raise Malformed")  # one key twice
        self.line(f"{into} = {entries}")
