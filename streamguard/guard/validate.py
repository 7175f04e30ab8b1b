"""Does the document obey its schema? Findings carry our own sentences, never the validator's (it prints values)."""

from __future__ import annotations

from typing import Final

from streamguard.formats.base import Form
from streamguard.guard.batch import Batch
from streamguard.guard.decode import finding_of
from streamguard.guard.violation import Finding

MOST: Final = 50
"""Findings listed for one record at most: a million wrong array elements need no million lines."""


class Validate:
    """Holds documents against a schema.

    The question on the hot path is `Form.passes`: valid, and vouched for in depth and numbers. What does not pass is
    looked at closely, and only then. A slice is asked about as a whole as long as all of the last one passed: where bad
    records are many, that would be a question too much.
    """

    stage = "validate"

    def __init__(self, form: Form) -> None:
        self.form = form
        self._as_one = True

    def apply(self, batch: Batch) -> None:
        """Add a finding for everything that is wrong."""
        documents = batch.live_documents
        if self._as_one and self.form.all_pass(documents):
            return
        passed = list(map(self.form.passes, documents))
        self._as_one = all(passed)
        if not self._as_one:
            for row, fine in zip(batch.live, passed, strict=True):
                if not fine:
                    self._explain(batch, row)

    def _explain(self, batch: Batch, row: int) -> None:
        document = batch.documents[row]
        doubt = self.form.doubt(batch.payloads[row] or b"", document)
        if doubt:
            batch.reject(row, finding_of(self.form, doubt))
        if doubt == "depth":
            return
        found = dict.fromkeys(
            Finding(f"schema.{keyword}", self.stage, message, path)
            for keyword, path, message in self.form.errors(document)
        )
        for finding in list(found)[:MOST]:
            batch.reject(row, finding)
