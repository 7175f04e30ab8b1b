"""Columns: what a path gathers, puts back, and says of shapes it did not expect."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.guard.batch import Batch
from streamguard.guard.columns import Columns
from streamguard.policy.paths import parse_path
from streamguard.transforms.base import DROP


def batch_of(*documents):
    batch = Batch("t", [b""] * len(documents))
    batch.documents = copy.deepcopy(list(documents))
    return batch


def gather(path, *documents):
    batch = batch_of(*documents)
    return batch, Columns(parse_path(path), "protect").gather(batch)


@pytest.mark.parametrize(
    ("path", "documents", "rows", "values"),
    [
        ("a", [{"a": 1}, {}, {"a": None}, {"a": 2}], [0, 3], [1, 2]),
        ("a.b", [{"a": {"b": 1}}, {"a": None}, {}, {"a": {}}], [0], [1]),
        ("a[*]", [{"a": [1, None, 2]}, {"a": []}, {}], [0, 0], [1, 2]),
        ("a[*].b", [{"a": [{"b": 1}, {}, {"b": 2}]}, {"a": [{"b": 3}]}], [0, 0, 1], [1, 2, 3]),
        ("a.*", [{"a": {"x": 1, "y": None, "z": 2}}], [0, 0], [1, 2]),
        ("*.b", [{"x": {"b": 1}, "y": {"b": 2}}], [0, 0], [1, 2]),
        ("[*]", [[1, 2], []], [0, 0], [1, 2]),
        ("[*].b", [[{"b": 1}], [{"b": 2}]], [0, 1], [1, 2]),
        ("a[*][*]", [{"a": [[1], [2, 3]]}], [0, 0, 0], [1, 2, 3]),
        ("a", [{"a": {"b": 1}}, {"a": [1]}], [0, 1], [{"b": 1}, [1]]),
        (r"a\.b", [{"a.b": 1, "a": {"b": 2}}], [0], [1]),
    ],
)
def test_gathers(path, documents, rows, values):
    batch, column = gather(path, *documents)
    assert (column.rows, column.values) == (rows, values)
    assert not batch.findings


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("a.b", {"a": "text"}),
        ("a.b", {"a": 1}),
        ("a.b", {"a": [{"b": 1}]}),
        ("a[*]", {"a": {"b": 1}}),
        ("a[*]", {"a": "text"}),
        ("a[*].b", {"a": [{"b": 1}, "text"]}),
        ("a.*", {"a": [1]}),
        ("a", "text"),
        ("a", [1]),
        ("[*]", {"a": 1}),
        ("a.b.c", {"a": {"b": False}}),
    ],
)
def test_other_shapes_are_findings_never_silence(path, document):
    batch, _ = gather(path, {"fine": 1} if path[0] != "[" else [], document)
    assert {row: [finding.code for finding in found] for row, found in batch.findings.items()} == {
        1: ["transform.shape"]
    }


def test_two_paths_below_one_strange_container_give_a_finding_each_row_once_per_container():
    batch = batch_of({"a": "text"})
    for path in ("a.b", "a.c"):
        Columns(parse_path(path), "protect").gather(batch)
    assert [finding.code for finding in batch.findings[0]] == ["transform.shape"]


def test_scatters_back_what_it_gathered():
    batch, column = gather("a[*].b", {"a": [{"b": 1, "c": 0}, {}, {"b": 2}]}, {"a": [{"b": 3}]})
    column.scatter([10 * value for value in column.values])
    assert batch.documents == [{"a": [{"b": 10, "c": 0}, {}, {"b": 20}]}, {"a": [{"b": 30}]}]


def test_drops_names_and_array_elements():
    batch, column = gather("a[*]", {"a": [1, None, 2, 3]})
    column.scatter_or_drop([DROP, 20, DROP])
    assert batch.documents == [{"a": [None, 20]}]
    batch, column = gather("a", {"a": 1, "b": 2}, {"a": 3})
    column.scatter_or_drop([DROP, 30])
    assert batch.documents == [{"b": 2}, {"a": 30}]


DOCUMENTS = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(DOCUMENTS, max_size=4),
    st.sampled_from(["a", "a.b", "a[*]", "a[*].b", "a.*", "*.b", "[*]", "[*].a"]),
)
def test_no_document_raises_and_gathering_changes_nothing(documents, path):
    batch, column = gather(path, *documents)
    assert batch.documents == documents
    assert all(value is not None for value in column.values)
    column.scatter(column.values)
    assert batch.documents == documents
