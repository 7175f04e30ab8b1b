"""Records that were read, as documents: what a draft is made from. Nothing of their values ever leaves this package."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from streamguard.errors import ConfigError
from streamguard.guard.batch import Batch
from streamguard.guard.decode import Decode
from streamguard.policy.models import Value
from streamguard.policy.paths import Path, Segment, Wild

_FRAME: Final = 5
"""Bytes that the Schema Registry's framing puts before a payload: a zero, and the schema's id."""

Values = Sequence[tuple[int, Any]]
"""What stands at a path: each value that is not null, with the number of its record."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Decoded records.

    `values` are the payloads that could be read and `documents` what they hold, in the same order. `keys` are the keys
    beside them, or None where the source has no such thing. `unreadable` counts the others by violation code,
    `tombstones` those without a value.
    """

    values: list[bytes]
    documents: list[dict[str, Any]]
    keys: list[bytes | None] | None
    unreadable: Counter[str]
    tombstones: int = 0

    def at(self, path: Path) -> Values:
        """What stands at a path."""
        return [
            (row, value)
            for row, document in enumerate(self.documents)
            for value in _below(document, path.segments)
            if value is not None
        ]


def read_json(values: Sequence[bytes | None], keys: Sequence[bytes | None] | None = None) -> Evidence:
    """JSON values as evidence, read as the guard reads them.

    Raises ConfigError when none is a JSON object: because they are framed for a registry, or are no JSON at all.
    """
    settings = Value()
    batch = Batch("", list(values))
    Decode(max_bytes=settings.max_bytes, max_depth=settings.max_depth, vouched=False).apply(batch)
    batch.refresh()
    rows = [row for row in batch.live if isinstance(batch.documents[row], dict)]
    unreadable = Counter(found[0].code for found in batch.findings.values())
    unreadable.update({"schema.type": len(batch.live) - len(rows)} if len(batch.live) > len(rows) else {})
    if not rows:
        raise _nothing_to_read(values, unreadable)
    return Evidence(
        [values[row] or b"" for row in rows],
        [batch.documents[row] for row in rows],
        None if keys is None else [keys[row] for row in rows],
        unreadable,
        len(batch.tombstones),
    )


def is_framed(value: bytes | None) -> bool:
    """Whether a value begins as the Schema Registry's serializers write it; no JSON, Avro text or line does."""
    return value is not None and len(value) > _FRAME and value[0] == 0


def _nothing_to_read(values: Sequence[bytes | None], unreadable: Counter[str]) -> ConfigError:
    if any(map(is_framed, values)):
        return ConfigError(
            "The values are framed for a Schema Registry: a schema's id stands before each of them.",
            "Their types are in the registry, and cannot be told from the bytes.",
        )
    if not unreadable:
        return ConfigError("There is no record to look at.", "Check the source; tombstones say nothing.")
    if set(unreadable) == {"schema.type"}:
        return ConfigError(
            "None of the records is a JSON object, so there are no fields to tell apart.",
            "Documents are objects, one per line; an array of them is unfolded by: jq -c '.[]'",
        )
    codes = ", ".join(f"{count:,} {code}" for code, count in unreadable.most_common())
    return ConfigError(
        f"None of the records can be read as JSON ({codes}).",
        "Documents are objects, one per line; what is spread over lines is joined by: jq -c .",
    )


def _below(node: Any, segments: tuple[Segment, ...]) -> Iterator[Any]:
    if not segments:
        yield node
        return
    step, rest = segments[0], segments[1:]
    if step is Wild.EACH:
        for child in node if isinstance(node, list) else ():
            yield from _below(child, rest)
    elif isinstance(node, dict):
        children = node.values() if step is Wild.ANY else [node[step]] if step in node else []
        for child in children:
            yield from _below(child, rest)
