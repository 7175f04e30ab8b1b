"""Avro's binary encoding: for each schema a reader and a writer of its own, made of Python source that knows its shape.

Source: Apache Avro 1.12.0 Specification, "Binary Encoding". fastavro walks the schema anew for each value, and takes
two to three times as long as this (measured on the reference order: 22 µs to read and write it, against 8 µs). Its
reader also ends the process on a value that is nested some ten thousand levels deep, and its writer cuts the fraction
off a number for an integer field. Neither is for a guard.

What is read here is strict: each value has one encoding, except that arrays and maps may come in several blocks.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from streamguard.formats.avro.schema import Node, uses
from streamguard.formats.avro.unions import Unions

MAX_DEPTH: Final = 200
"""How deep records, arrays and maps of a value may be nested: less than what orjson can write."""

_INDENT: Final = 12  # beyond it a type gets a function: Python nests 20 loops at most


class Malformed(ValueError):
    """Not a value of the schema. `reason` is as `Form.reason` has it."""

    reason = "syntax"


class TooDeep(Malformed):
    """Nested deeper than `MAX_DEPTH`."""

    reason = "depth"


class TooLarge(Malformed):
    """A number beyond the bits of its type."""

    reason = "number"


class Source(ABC):
    """Python source in the making. Nothing of a schema's text gets into it but names, and those by `repr`."""

    def __init__(self, root: Node, unions: Unions) -> None:
        self.root = root
        self.unions = unions
        self.names: dict[str, Any] = {
            "Malformed": Malformed,
            "TooDeep": TooDeep,
            "FAULTS": (ValueError, TypeError, LookupError, AttributeError, OverflowError, struct.error),
        }
        self.lines: list[str] = []
        self.indent = 0
        self.depth = 0  # of containers within the function that is being written
        self.deepest = 0
        self.fresh = 0
        self.functions: dict[int, str] = {}
        self.waiting: list[Node] = []
        used = Counter(id(node) for node in uses(root))
        self.shared = {node for node, times in used.items() if times > 1}

    def line(self, text: str) -> None:
        self.lines.append("    " * self.indent + text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        self.line(head)
        self.indent += 1
        yield
        self.indent -= 1

    @contextmanager
    def container(self) -> Iterator[None]:
        self.depth += 1
        self.deepest = max(self.deepest, self.depth)
        yield
        self.depth -= 1

    def name(self, prefix: str = "v") -> str:
        self.fresh += 1
        return f"{prefix}{self.fresh}"

    def constant(self, value: Any) -> str:
        name = self.name("C")
        self.names[name] = value
        return name

    def stands_alone(self, node: Node) -> bool:
        """Whether a type has a function of its own: used in several places (or within itself), or far inside."""
        if node.kind not in ("record", "union", "array", "map"):
            return False
        return id(node) in self.shared or self.indent > _INDENT

    def function(self, node: Node) -> str:
        """The name of a type's function, which will be written."""
        if id(node) not in self.functions:
            self.functions[id(node)] = self.name("f")
            self.waiting.append(node)
        return self.functions[id(node)]

    def compiled(self) -> Callable[[Any], Any]:
        entry = self.function(self.root)
        while self.waiting:
            node = self.waiting.pop()
            self.depth = self.deepest = self.indent = 0
            start = len(self.lines)
            self.body(node, self.functions[id(node)])
            # The deepest value that fits, given how deep what is written here goes by itself.
            self.lines.insert(start + 1, f"    if d > {MAX_DEPTH - self.deepest}: raise TooDeep")
        self.main(entry)
        exec("\n".join(self.lines), self.names)  # noqa: S102  our own source; see the class
        return self.names["main"]  # type: ignore[no-any-return]

    @abstractmethod
    def body(self, node: Node, name: str) -> None:
        """Write the function `name` of a type."""

    @abstractmethod
    def main(self, entry: str) -> None:
        """Write the function ``main``, which calls `entry`."""
