"""Documents against their schema: the same findings, whether a slice is asked about as a whole or record by record."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from streamguard.formats.json import JsonForm
from streamguard.guard.batch import Batch
from streamguard.guard.validate import Validate

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"id": {"type": "string"}, "count": {"type": "integer"}},
    "required": ["id"],
}
OPEN = {"type": "object", "properties": SCHEMA["properties"], "required": ["id"]}
DOCUMENTS = {
    b'{"id":"a","count":1}': set(),
    b'{"id":1}': {("schema.type", "id")},
    b"{}": {("schema.required", "id")},
    b'{"id":2,"count":"x"}': {("schema.type", "id"), ("schema.type", "count")},
}


def batch_of(values):
    batch = Batch("orders", values)
    batch.documents = list(map(orjson.loads, values))
    return batch


@given(
    st.sampled_from([SCHEMA, OPEN]),
    st.lists(st.lists(st.sampled_from(sorted(DOCUMENTS)), max_size=4), max_size=6),
)
def test_every_slice_has_the_findings_of_its_records(schema, slices):
    room = Validate(JsonForm(schema))
    for values in slices:
        batch = batch_of(values)
        room.apply(batch)
        found = {
            row: {(finding.code, finding.path) for finding in findings}
            for row, findings in batch.findings.items()
        }
        assert found == {row: DOCUMENTS[value] for row, value in enumerate(values) if DOCUMENTS[value]}


def test_only_live_rows_are_asked_about():
    batch = batch_of([b"{}", b'{"id":"a"}', b'{"id":1}'])
    batch.live = [1]
    Validate(JsonForm(SCHEMA)).apply(batch)
    assert not batch.findings


def test_a_slice_is_asked_about_as_a_whole_until_one_has_bad_records():
    form = JsonForm(SCHEMA)
    asked, together = [], form.all_pass
    form.all_pass = lambda documents: asked.append(len(documents)) or together(documents)
    room = Validate(form)
    good, bad = [b'{"id":"a"}'] * 3, [b'{"id":"a"}', b"{}"]
    for values, wanted in [(good, [3]), (bad, [3, 2]), (bad, [3, 2]), (good, [3, 2]), (good, [3, 2, 3])]:
        room.apply(batch_of(values))
        assert asked == wanted
