"""The last look: whether anything kept in the clear still looks like personal data or a secret.

A policy that keeps a free-text field says that the field holds none. People type card numbers into notes all the
same, so what is kept is looked through before it leaves, and a record that holds something becomes `inspect.<what>`.
It is a net under the policy and no substitute for it: docs/inspect.md says what it looks for, what it costs and what
escapes it.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect
from collections.abc import Iterable, Iterator
from typing import Any, Final

from streamguard.guard.batch import Batch
from streamguard.guard.columns import Columns
from streamguard.guard.lookalikes import LOOKALIKES, MESSAGES, Lookalike, Traces
from streamguard.guard.violation import Finding
from streamguard.policy.paths import Path, Segment, Wild

_SEPARATOR: Final = "\x00"
_TEXTS: Final = frozenset({str})
_STRAY: Final = Path((Wild.ANY,))

# The zeros of the decimal digits that NFKC leaves as they are: Arabic-Indic, Devanagari, Bengali, Thai …
_ZEROS: Final = (
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0DE6, 0x0E50,
    0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50,
    0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0,
)  # fmt: skip
_DASHES: Final = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
_INVISIBLE: Final = (
    "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f"
    "\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
)
_DISGUISES: Final = {
    **{chr(zero + digit): str(digit) for zero in _ZEROS for digit in range(10)},
    **dict.fromkeys(_DASHES, "-"),
    **dict.fromkeys(_INVISIBLE, ""),
}
_DISGUISED: Final = re.compile(f"[{''.join(_DISGUISES)}]")


def _unmask(text: str) -> str:
    """`text` as a reader sees it: all digits as ASCII, one kind of dash and space, nothing invisible."""
    return _DISGUISED.sub(lambda found: _DISGUISES[found[0]], unicodedata.normalize("NFKC", text))


Tree = dict[Segment, Any]
"""Paths as a tree: what stands below a segment, or None where a path ends."""


class Inspect:
    """Looks through the text that a policy keeps.

    `paths` are the kept places where free text can stand. The property names of a map are kept whatever happens to its
    values, so `maps` are all paths of the policy: what stands in place of a ``*`` in them is text too. `named` is given
    when fields that the policy does not name are kept as well: all that stands outside of these paths is then looked
    through.
    """

    stage = "inspect"

    def __init__(
        self, paths: Iterable[Path], maps: Iterable[Path] = (), named: Iterable[Path] | None = None
    ) -> None:
        self.columns = [Columns(path, self.stage) for path in paths]
        self.maps = [Columns(path, self.stage) for path in _maps(maps)]
        self.named = None if named is None else _tree(named)

    def apply(self, batch: Batch) -> None:
        """Add a finding for every place, and every kind of thing in it, that should not leave."""
        texts: list[str] = []
        rows: list[int] = []
        starts: list[int] = []
        paths: list[str] = []
        for path, its_rows, its_texts in self._columns(batch):
            starts.append(len(texts))
            paths.append(path)
            texts += its_texts
            rows += its_rows
        found = {(rows[index], code, paths[bisect(starts, index) - 1]) for index, code in scan(texts)}
        for row, code, path in sorted(found):
            batch.reject(row, Finding(f"inspect.{code}", self.stage, MESSAGES[code], path))

    def _columns(self, batch: Batch) -> Iterator[tuple[str, list[int], list[str]]]:
        """Each inspected path with its texts, and the row of each text."""
        for columns in self.columns:
            column = columns.gather(batch)
            path, rows, values = str(columns.path), column.rows, column.values
            if column.types <= _TEXTS:
                yield path, rows, values
            else:
                yield path, *_flat((row, _texts(value, {})) for row, value in zip(rows, values, strict=True))
        for columns in self.maps:
            rows, maps = columns.places(batch, columns.above, columns.last)
            names = (filter(_is_text, names) for names in maps)
            yield str(columns.path), *_flat(zip(rows, names, strict=True))
        if (named := self.named) is not None:
            yield str(_STRAY), *_flat((row, _texts(batch.documents[row], named)) for row in batch.live)


def _maps(paths: Iterable[Path]) -> list[Path]:
    """The maps on the way to `paths`, and at their ends: each up to and with a ``*``."""
    found = [
        Path(path.segments[: depth + 1])
        for path in paths
        for depth, segment in enumerate(path.segments)
        if segment is Wild.ANY
    ]
    return list(dict.fromkeys(found))


def _tree(paths: Iterable[Path]) -> Tree:
    tree: Tree = {}
    for path in paths:
        *above, last = path.segments
        node: Tree | None = tree
        for step in above:
            node = node.setdefault(step, {}) if node is not None else None
        if node is not None:
            node[last] = None
    return tree


def _texts(node: Any, named: Tree) -> Iterator[str]:
    """All texts in a document, names included, but for what stands at the ends of `named`."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for name, child in node.items():
            below = named.get(name, named.get(Wild.ANY, {}))
            if below is not None:
                if isinstance(name, str):  # Protobuf's maps have numbers for names, too
                    yield name
                yield from _texts(child, below)
    elif isinstance(node, list):
        below = named.get(Wild.EACH, {})
        if below is not None:
            for child in node:
                yield from _texts(child, below)


def _is_text(name: Any) -> bool:
    return isinstance(name, str)


def _flat(texts_by_row: Iterable[tuple[int, Iterable[str]]]) -> tuple[list[int], list[str]]:
    pairs = [(row, text) for row, texts in texts_by_row for text in texts]
    return [row for row, _ in pairs], [text for _, text in pairs]


def find(text: str) -> list[str]:
    """The codes of what `text` seems to hold (``email``, ``card`` …), each once; empty when it looks clean."""
    return [code for _, code in scan([text])]


def scan(values: list[str]) -> list[tuple[int, str]]:
    """Look through a whole column: ``(index, code)`` for everything found, each pair once, ordered by index.

    The column is joined into one text first. Where no trace of a shape is in the whole of it, which costs a substring
    search, that shape's pattern does not run at all.
    """
    traces = Traces(_join(values))
    return sorted({(row, shape.code) for shape in LOOKALIKES for row in _rows(shape, traces)})


def _join(values: list[str]) -> str:
    text = _SEPARATOR.join(values)
    if text.count(_SEPARATOR) >= len(values):
        text = _SEPARATOR.join([value.replace(_SEPARATOR, "") for value in values])
    return text if text.isascii() else _unmask(text)


def _rows(shape: Lookalike, traces: Traces) -> Iterator[int]:
    """The rows of a joined column that hold this shape."""
    row = counted = 0
    for hit in shape.hits(traces):
        row += traces.text.count(_SEPARATOR, counted, hit)
        counted = hit
        yield row
