"""Records as lines of a stream: the corridor without Kafka.

Each line is one record without key, headers or timestamp. Memory is bounded by the policy's ``value.max_bytes``,
however long the stream and its lines are: a longer line is never held whole, and becomes the violation ``decode.size``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

from streamguard.guard.batch import Batch
from streamguard.guard.decode import SIZE
from streamguard.guard.guard import SLICE, Guard

NO_PARTITION: Final = -1
"""The partition in a violation's ``source``. Its offset is the number of the line, from 0."""

_CHUNK_BYTES: Final = 262_144
_BOM: Final = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line without its end. `number` counts from 0, `size` is in bytes; `value` is None where it is too long."""

    number: int
    size: int
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Filtered:
    """What became of some lines: the clean documents, and the violations, each with its code and its JSON body."""

    clean: list[bytes]
    violations: list[tuple[str, bytes]]


def read_lines(read: Callable[[int], bytes], longest: int) -> Iterator[list[Line]]:
    """The lines of a stream as they come in, in one list per `read`. Blank lines are passed over, but counted.

    `read` returns as many bytes as there are, but at most the number it is given, and none at the end.
    """
    number = size = 0
    begun: list[bytes] = []  # the line that has not ended yet; nothing of it once it is longer than `longest`
    chunk = read(_CHUNK_BYTES).removeprefix(_BOM)
    while chunk:
        *ended, rest = chunk.split(b"\n")
        lines: list[Line] = []
        for text in ended:
            size += len(text)
            begun.append(text)
            value = (b"".join(begun) if begun[1:] else text) if size <= longest else None
            if value is None or value.strip():
                lines.append(Line(number, size, value))
            number += 1
            size = 0
            begun.clear()
        size += len(rest)
        begun.append(rest)
        if size > longest:
            begun.clear()
        yield lines
        chunk = read(_CHUNK_BYTES)
    value = b"".join(begun) if size <= longest else None
    if value is None or value.strip():
        yield [Line(number, size, value)]


def filter_lines(guard: Guard, lines: Sequence[Line]) -> Iterator[Filtered]:
    """Take lines through the guard, slice by slice. Raises KeysUnavailableError when keys cannot be had now."""
    for start in range(0, len(lines), SLICE):
        yield _filter_slice(guard, lines[start : start + SLICE])


def _filter_slice(guard: Guard, lines: Sequence[Line]) -> Filtered:
    batch = Batch(
        guard.policy.topic,
        [line.value or b"" for line in lines],
        partitions=[NO_PARTITION] * len(lines),
        offsets=[line.number for line in lines],
    )
    batch.reject_all([row for row, line in enumerate(lines) if line.value is None], SIZE)
    batch.refresh()
    guard.process(batch)
    return Filtered(
        [value for row in batch.live if (value := batch.out_values[row]) is not None],
        [_explained(guard, batch, row, lines[row]) for row in sorted(batch.findings)],
    )


def _explained(guard: Guard, batch: Batch, row: int, line: Line) -> tuple[str, bytes]:
    if line.value is not None:
        violation = guard.explain(batch, row)
        return violation.code, violation.body
    violation = guard.explain(batch, row, max_bytes=0)  # there is no original to enclose
    return violation.code, orjson.dumps(orjson.loads(violation.body) | {"original_bytes": line.size})
