"""Records that were read, as documents: what a draft is made from. Nothing of their values ever leaves this package."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamguard.errors import ConfigError
from streamguard.formats.base import Form
from streamguard.formats.json import JsonForm
from streamguard.guard.batch import Batch
from streamguard.guard.decode import Decode
from streamguard.policy.models import Value
from streamguard.policy.paths import Path

Values = Sequence[tuple[int, Any]]
"""What stands at a path: each value that is not null, with the number of its record."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Decoded records.

    `values` are the payloads that could be read and `documents` what they hold, in the same order. `keys` are the keys
    beside them, or None where the source has no such thing. `unreadable` counts the others by violation code,
    `tombstones` those without a value, `others` those of other schemas, which were not looked at.
    """

    values: list[bytes]
    documents: list[dict[str, Any]]
    keys: list[bytes | None] | None
    unreadable: Counter[str]
    tombstones: int = 0
    others: int = 0

    def at(self, path: Path) -> Values:
        """What stands at a path."""
        return [
            (row, value)
            for row, document in enumerate(self.documents)
            for value in path.values_in(document)
            if value is not None
        ]


def read_json(values: Sequence[bytes | None], keys: Sequence[bytes | None] | None = None) -> Evidence:
    """JSON values, of whatever shape, as evidence. Raises ConfigError when none is a JSON object."""
    return read_values(values, JsonForm(None), keys)


def read_values(
    values: Sequence[bytes | None], form: Form, keys: Sequence[bytes | None] | None = None
) -> Evidence:
    """Values of one form as evidence, read as the guard reads them. Raises ConfigError when none has fields."""
    batch = Batch("", list(values))
    Decode(form, max_bytes=Value().max_bytes, vouched=False).apply(batch)
    batch.refresh()
    rows = [row for row in batch.live if isinstance(batch.documents[row], dict)]
    unreadable = Counter(found[0].code for found in batch.findings.values())
    if len(rows) < len(batch.live):
        unreadable["schema.type"] = len(batch.live) - len(rows)
    if not rows:
        raise _nothing_to_read(form, unreadable, of_topic=keys is not None)
    return Evidence(
        [values[row] or b"" for row in rows],
        [batch.documents[row] for row in rows],
        None if keys is None else [keys[row] for row in rows],
        unreadable,
        len(batch.tombstones),
    )


def _nothing_to_read(form: Form, unreadable: Counter[str], *, of_topic: bool) -> ConfigError:
    if not unreadable:
        return ConfigError("There is no record to look at.", "Check the source; tombstones say nothing.")
    if set(unreadable) == {"schema.type"}:
        lines = "Documents are objects, one per line; an array of them is unfolded by: jq -c '.[]'"
        return ConfigError(
            "None of the records is an object, so there are no fields to tell apart.",
            "Write the policy by hand: docs/policy.md" if of_topic else lines,
        )
    codes = ", ".join(f"{count:,} {code}" for code, count in unreadable.most_common())
    remedy = "Documents are objects, one per line; what is spread over lines is joined by: jq -c ."
    if of_topic:
        remedy = "Values that name no schema are read as JSON. For others write the policy by hand: value: {format: …}"
    return ConfigError(
        f"None of the records can be read as {form.name} ({codes}).",
        "See which schema the topic's producers use." if form.declares else remedy,
    )
