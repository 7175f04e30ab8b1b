r"""Field paths: ``customer.email``, ``items[*].note``, ``labels.*``, ``a\.b`` for a name that holds a dot.

A path names leaves in a document by their shape, never by a position: ``[*]`` is every element of an array and ``*``
every property of a map. The same text is what `check` prints, so reading and writing are exact inverses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final


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
