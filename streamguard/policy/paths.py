r"""Field paths: ``customer.email``, ``items[*].note``, ``labels.*``, ``a\.b`` for a name that holds a dot.

A path names leaves in a document by their shape, never by a position: ``[*]`` is every element of an array and ``*``
every property of a map. The same text is what `check` prints, so reading and writing are exact inverses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from operator import itemgetter
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")


class Wild(Enum):
    """A segment that stands for many: every element of an array, or every property of a map."""

    EACH = "[*]"
    ANY = "*"


Segment = str | Wild

_NAME: Final = re.compile(r"(?:[^.\[\]*\\]|\\.)+")
_ESCAPED: Final = re.compile(r"\\(.)")
_SPECIAL: Final = re.compile(r"([.\[\]*\\])")


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed path. The empty path is the whole document."""

    segments: tuple[Segment, ...]

    def __str__(self) -> str:
        text = ""
        for segment in self.segments:
            if segment is Wild.EACH:
                text += "[*]"
            else:
                name = "*" if segment is Wild.ANY else _SPECIAL.sub(r"\\\1", str(segment))
                text += f".{name}" if text else name
        return text

    def covers(self, other: Path) -> bool:
        """True when `other` is this path or lies below it: a rule for this path decides about `other` too."""
        mine, theirs = self.segments, other.segments[: len(self.segments)]
        return len(mine) == len(theirs) and all(
            (ours is Wild.ANY and isinstance(its, str)) or ours == its
            for ours, its in zip(mine, theirs, strict=True)
        )

    def overlaps(self, other: Path) -> bool:
        """True when some value of a document belongs to both paths, or lies below one and at the other."""
        return all(
            mine == its or (Wild.ANY in (mine, its) and Wild.EACH not in (mine, its))
            for mine, its in zip(self.segments, other.segments, strict=False)
        )

    def child(self, segment: Segment) -> Path:
        """The path one step deeper."""
        return Path((*self.segments, segment))

    def values_in(self, document: Any) -> list[Any]:
        """What stands at this path of a document, in its order, nulls included."""
        found = [document]
        for segment in self.segments:
            found = [child for node in found for child in _children(node, segment)]
        return found


def _children(node: Any, segment: Segment) -> Iterable[Any]:
    """What stands one step below a node of a document."""
    if segment is Wild.EACH:
        return node if isinstance(node, list) else ()
    if not isinstance(node, dict):
        return ()
    if segment is Wild.ANY:
        return node.values()
    return (node[segment],) if segment in node else ()


@dataclass(slots=True)
class _Node(Generic[T]):
    """Where paths meet: what stands right here, each with its number, and the nodes one step further."""

    here: list[tuple[int, T]] = field(default_factory=list)
    next: dict[Segment, _Node[T]] = field(default_factory=dict)

    def everything(self) -> list[tuple[int, T]]:
        """What stands here and below."""
        return self.here + [entry for node in self.next.values() for entry in node.everything()]


class Places(Generic[T]):
    """Things by their paths: finds those above, below and around a path without a look at all the others.

    What is found comes in the order in which it was given.
    """

    def __init__(self, things: Iterable[tuple[Path, T]]) -> None:
        self._root: _Node[T] = _Node()
        for number, (path, thing) in enumerate(things):
            node = self._root
            for segment in path.segments:
                node = node.next.setdefault(segment, _Node())
            node.here.append((number, thing))

    def covering(self, path: Path) -> list[T]:
        """Those whose path covers this one."""
        return self._found(path, above=True, below=False)

    def covered(self, path: Path) -> list[T]:
        """Those whose path this one covers."""
        return self._found(path, above=False, below=True)

    def overlapping(self, path: Path) -> list[T]:
        """Those whose path overlaps this one."""
        return self._found(path, above=True, below=True)

    def _found(self, path: Path, *, above: bool, below: bool) -> list[T]:
        nodes, found = [self._root], list[tuple[int, T]]()
        for segment in path.segments:
            if above:
                found += [entry for node in nodes for entry in node.here]
            nodes = [
                child for node in nodes for child in _nodes_at(node, segment, of_rule=above, of_path=below)
            ]
        found += [entry for node in nodes for entry in (node.everything() if below else node.here)]
        return [thing for _, thing in sorted(found, key=itemgetter(0))]


def _nodes_at(node: _Node[T], segment: Segment, *, of_rule: bool, of_path: bool) -> list[_Node[T]]:
    """The nodes at a segment, where a ``*`` among the things' paths, in the given path, or in both takes any name."""
    if of_path and segment is Wild.ANY:
        return [child for name, child in node.next.items() if name is not Wild.EACH]
    segments = {segment, Wild.ANY} if of_rule and segment is not Wild.EACH else {segment}
    return [node.next[name] for name in segments if name in node.next]


def parse_path(text: str) -> Path:
    """Read a path. Raises ValueError with a sentence that says what is wrong with it."""
    segments: list[Segment] = []
    at = 0
    while at < len(text):
        if text.startswith("[*]", at):
            segments.append(Wild.EACH)
            at += 3
        else:
            if segments:
                if text[at] != ".":
                    raise ValueError("expected '.' or '[*]' between two names")
                at += 1
            if text.startswith("*", at):
                segments.append(Wild.ANY)
                at += 1
            elif name := _NAME.match(text, at):
                segments.append(_ESCAPED.sub(r"\1", name[0]))
                at = name.end()
            else:
                raise ValueError(
                    r"expected a name; write a literal '.', '[', ']' or '*' as '\.', '\[', '\]', '\*'"
                )
    if not segments:
        raise ValueError("a path cannot be empty")
    return Path(tuple(segments))
