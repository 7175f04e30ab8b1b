"""The room everything is about: each classified field goes through its transform, column by column."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from streamguard.guard.batch import Batch
from streamguard.guard.columns import Column, Columns
from streamguard.guard.violation import Finding
from streamguard.policy.paths import Path, parse_path
from streamguard.transforms.base import DOMAIN, Reject, SubjectTransform, Transform

_CODE: Final = re.compile(r"[a-z0-9_]{1,64}")
UNTAKEN: Final = "the transform cannot take this value"


class TransformLengthError(RuntimeError):
    """A transform (of another package) returned a column of another length: nothing of its batch may leave."""


class Protect:
    """Applies one transform per path, all of a batch's values at once."""

    stage = "protect"

    def __init__(self, fields: dict[Path, Transform[Any]]) -> None:
        self.steps = [(Columns(path, self.stage), transform, str(path)) for path, transform in fields.items()]
        named = {transform.subject_path for transform in fields.values()} - {None}
        self.subjects = {path: Columns(parse_path(path), self.stage) for path in sorted(filter(None, named))}

    def apply(self, batch: Batch) -> None:
        """Replace every protected value in place. Raises KeysUnavailableError before anything leaves."""
        subjects = {path: self._by_row(columns, batch) for path, columns in self.subjects.items()}
        for columns, transform, path in self.steps:
            column = columns.gather(batch)
            if not column.values:
                continue
            reject = rejecter(batch, column.rows, transform, path)
            protected = _applied(transform, column, subjects, reject)
            if len(protected) != len(column.values):
                # Scattered, it would leave the values at the end of the column as they were.
                raise TransformLengthError
            (column.scatter_or_drop if transform.drops else column.scatter)(protected)
            if transform.key_id is not None:
                batch.key_ids[path] = transform.key_id

    def _by_row(self, columns: Columns, batch: Batch) -> dict[int, Any]:
        """Each row's subject, before its own field is protected."""
        column = columns.gather(batch)
        return dict(zip(column.rows, column.values, strict=True))


def _applied(
    transform: Transform[Any], column: Column, subjects: Mapping[str, Mapping[int, Any]], reject: Reject
) -> list[Any]:
    if isinstance(transform, SubjectTransform) and transform.subject_path is not None:
        of_row = subjects[transform.subject_path].get
        return transform.apply_for(column.values, list(map(of_row, column.rows)), reject)
    return transform.apply(column.values, reject)


def rejecter(
    batch: Batch, rows: list[int], transform: Transform[Any], path: str
) -> Callable[[int, str], None]:
    """How a transform says, by position in its column, that it cannot take a value."""

    def reject(index: int, code: str) -> None:
        batch.reject(rows[index], _finding(type(transform), code, path))

    return reject


@lru_cache(maxsize=4096)
def _finding(transform: type[Transform[Any]], code: str, path: str) -> Finding:
    if not _CODE.fullmatch(code):
        code = DOMAIN  # another package's code could be the value itself
    return Finding(
        f"transform.{transform.verb}.{code}", "protect", transform.messages.get(code, UNTAKEN), path
    )
