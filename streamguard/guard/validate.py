"""Does the document obey its schema? Findings carry our own sentences, never the validator's (it prints values)."""

from __future__ import annotations

from typing import Final

from streamguard.formats.json_schema import Schema
from streamguard.guard.batch import Batch
from streamguard.guard.decode import DEPTH, NUMBER, has_wide_integer, is_deep
from streamguard.guard.violation import Finding

MOST: Final = 50
"""Findings listed for one record at most: a million wrong array elements need no million lines."""


class Validate:
    """Holds documents against a schema.

    The question on the hot path is `Schema.passes`: valid, and vouched for in depth and numbers. What does not pass is
    looked at closely, and only then.
    """

    stage = "validate"

    def __init__(self, schema: Schema, *, max_depth: int) -> None:
        self.schema = schema
        self.max_depth = max_depth

    def apply(self, batch: Batch) -> None:
        """Add a finding for everything that is wrong."""
        documents = batch.documents
        passed = list(map(self.schema.passes, [documents[row] for row in batch.live]))
        if not all(passed):
            for row, fine in zip(batch.live, passed, strict=True):
                if not fine:
                    self._explain(batch, row)

    def _explain(self, batch: Batch, row: int) -> None:
        document, value = batch.documents[row], batch.values[row]
        if is_deep(document, self.max_depth):
            batch.reject(row, DEPTH)
            return
        if value is not None and has_wide_integer(value):
            batch.reject(row, NUMBER)
        if self.schema.is_valid(document):
            return
        found = dict.fromkeys(
            Finding(f"schema.{keyword}", self.stage, message, path)
            for keyword, path, message in self.schema.errors(document)
        )
        for finding in list(found)[:MOST]:
            batch.reject(row, finding)
