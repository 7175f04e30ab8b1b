"""The room everything is about: each classified field goes through its transform, column by column."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from streamguard.formats.base import Column as Convert
from streamguard.formats.base import Form
from streamguard.guard.batch import Batch
from streamguard.guard.columns import Column, Columns
from streamguard.guard.violation import Finding
from streamguard.policy.paths import Path, parse_path
from streamguard.transforms.base import DOMAIN, Reject, SubjectTransform, Transform

_CODE: Final = re.compile(r"[a-z0-9_]{1,64}")
UNTAKEN: Final = "the transform cannot take this value"


class TransformLengthError(RuntimeError):
    """A transform (of another package) returned a column of another length: nothing of its batch may leave."""


class Step(NamedTuple):
    """A field's transform, between what lifts values out of their format and what lowers them into it."""

    path: str
    columns: Columns
    transform: Transform[Any]
    lift: Convert | None
    lower: Convert | None


class Protect:
    """Applies one transform per path, all of a batch's values at once.

    `form` is that of the documents, and `out` that of what leaves: they turn the values that a format has into those
    that transforms take, and back where a transform keeps the form.
    """

    stage = "protect"

    def __init__(
        self, fields: Mapping[Path, Transform[Any]], form: Form | None = None, out: Form | None = None
    ) -> None:
        self.steps = [
            Step(
                str(path),
                Columns(path, self.stage),
                transform,
                form.lift(path) if form and transform.gives() - {"null"} else None,
                out.lower(path) if out and transform.keeps_form else None,
            )
            for path, transform in fields.items()
        ]
        named = {transform.subject_path for transform in fields.values()} - {None}
        self.subjects = {
            text: (Columns(path, self.stage), form.lift(path) if form else None)
            for text in sorted(filter(None, named))
            for path in [parse_path(text)]
        }

    def apply(self, batch: Batch) -> None:
        """Replace every protected value in place. Raises KeysUnavailableError before anything leaves."""
        subjects = {path: self._by_row(*subject, batch) for path, subject in self.subjects.items()}
        for path, columns, transform, lift, lower in self.steps:
            column = columns.gather(batch)
            if column.values:
                reject = rejecter(batch, column.rows, transform, path)
                if lift is not None:
                    column.values = converted(lift, column.values, reject)
                protected = _applied(transform, column, subjects, reject)
                if len(protected) != len(column.values):
                    # Scattered, it would leave the values at the end of the column as they were.
                    raise TransformLengthError
                if lower is not None:
                    protected = converted(lower, protected, reject)
                (column.scatter_or_drop if transform.drops else column.scatter)(protected)
                if transform.key_id is not None:
                    batch.key_ids[path] = transform.key_id
            if transform.drops and not transform.gives():
                columns.drop_nulls(batch)

    def _by_row(self, columns: Columns, lift: Convert | None, batch: Batch) -> dict[int, Any]:
        """Each row's subject, before its own field is protected."""
        column = columns.gather(batch)
        values = column.values if lift is None else converted(lift, column.values, _to_nobody)
        return dict(zip(column.rows, values, strict=True))


def converted(convert: Convert, values: list[Any], reject: Reject) -> list[Any]:
    """A column in the other shape; a value that has none there is rejected, and an empty text."""
    try:
        return convert(values)
    except ValueError:
        return [_converted_one(convert, index, value, reject) for index, value in enumerate(values)]


def _converted_one(convert: Convert, index: int, value: Any, reject: Reject) -> Any:
    try:
        return convert([value])[0]
    except ValueError:
        reject(index, DOMAIN)
        return ""


def _to_nobody(index: int, code: str) -> None:
    """A subject that cannot be read is nobody, which the transform rejects."""


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
