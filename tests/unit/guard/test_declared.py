"""Nothing passes because nobody thought of it."""

import copy

import pytest

from streamguard.guard.batch import Batch
from streamguard.guard.declared import Declared
from streamguard.policy.paths import parse_path


def walked(
    document, *, guarded=("email", "profile"), kept=("id", "items[*].sku", "labels.*"), undeclared="reject"
):
    batch = Batch("t", [b""])
    batch.documents = [copy.deepcopy(document)]
    Declared([parse_path(path) for path in guarded], [parse_path(path) for path in kept], undeclared).apply(
        batch
    )
    return batch


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"id": 1, "email": "x", "items": [{"sku": "a"}, {}, None], "labels": {"any": "thing"}},
        {"email": {"deep": ["whole", "value"]}, "profile": [1, {"x": 2}]},
        {"id": None, "items": None, "labels": None},
        {"items": []},
    ],
)
def test_classified_documents_pass(document):
    assert not walked(document).findings


@pytest.mark.parametrize(
    ("document", "code", "path"),
    [
        ({"CANARY": 1}, "schema.undeclared", "*"),
        ({"items": [{"CANARY": 1}]}, "schema.undeclared", "items[*].*"),
        ({"id": {"CANARY": 1}}, "transform.shape", "id"),
        ({"id": ["CANARY"]}, "transform.shape", "id"),
        ({"id": []}, "transform.shape", "id"),
        ({"items": "CANARY"}, "transform.shape", "items"),
        ({"items": {"sku": "CANARY"}}, "transform.shape", "items"),
        ({"items": ["CANARY"]}, "transform.shape", "items[*]"),
        ({"labels": {"CANARY": {"x": 1}}}, "transform.shape", "labels.*"),
        ({"labels": ["CANARY"]}, "transform.shape", "labels"),
        ("CANARY", "transform.shape", ""),
        (["CANARY"], "transform.shape", ""),
        (None, "transform.shape", ""),
    ],
)
def test_everything_else_is_a_finding_without_a_name_or_a_value(document, code, path):
    (finding,) = walked(document).findings[0]
    assert (finding.code, finding.path) == (code, path)
    assert "CANARY" not in repr(finding)


def test_undeclared_fields_can_be_dropped():
    batch = walked({"id": 1, "x": 2, "items": [{"sku": 1, "y": {"z": 3}}]}, undeclared="drop")
    assert not batch.findings
    assert batch.documents == [{"id": 1, "items": [{"sku": 1}]}]


def test_undeclared_fields_can_be_kept_but_kept_leaves_stay_scalars():
    assert not walked({"x": {"y": 1}}, undeclared="keep").findings
    assert walked({"id": {"y": 1}}, undeclared="keep").findings
