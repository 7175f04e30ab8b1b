"""The schema of clean records, derived from the schema of what came in."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.crypto.keyring import Keyring
from streamguard.formats.base import Change
from streamguard.formats.json import JsonForm
from streamguard.guard.batch import Batch
from streamguard.guard.corridor import out_form
from streamguard.guard.guard import Guard
from streamguard.policy.models import Policy
from streamguard.policy.paths import parse_path

TEXT = Change(frozenset({"string"}))
GONE = Change(frozenset())


def closed(**properties):
    return {"type": "object", "additionalProperties": False, "properties": properties}


def changed(schema, **changes):
    return (
        JsonForm(schema)
        .changed({parse_path(path): change for path, change in changes.items()})
        .schema.document
    )


def test_a_changed_place_keeps_what_people_wrote_about_it():
    schema = closed(
        n={
            "type": "integer",
            "minimum": 1,
            "enum": [1, 2],
            "default": 1,
            "title": "N",
            "description": "a number",
            "confluent:tags": ["PII"],
        }
    )
    assert changed(schema, n=TEXT)["properties"]["n"] == {
        "type": "string",
        "title": "N",
        "description": "a number",
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"type": ["integer", "null"]}, ["string", "null"]),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, ["string", "null"]),
        ({"$ref": "#/$defs/maybe"}, ["string", "null"]),
        ({"enum": [1, None]}, ["string", "null"]),
        ({"type": ["integer", "null"], "enum": [1]}, "string"),
        ({}, ["string", "null"]),
        ({"type": "integer"}, "string"),
    ],
)
def test_what_may_be_null_may_be_null(before, after):
    schema = closed(n=before) | {"$defs": {"maybe": {"type": ["integer", "null"]}}}
    assert changed(schema, n=TEXT)["properties"]["n"]["type"] == after


def test_a_dropped_field_is_neither_declared_nor_required():
    schema = closed(a={"type": "string"}, b={"type": "string"}) | {"required": ["a", "b"]}
    assert changed(schema, a=GONE) == closed(b={"type": "string"}) | {"required": ["b"]}


def test_a_shared_definition_is_changed_in_one_place_only():
    schema = closed(home={"$ref": "#/$defs/address"}, work={"$ref": "#/$defs/address"}) | {
        "$defs": {"address": closed(street={"type": "string", "maxLength": 9})}
    }
    derived = changed(schema, **{"home.street": TEXT})
    assert derived["properties"]["home"] == closed(street={"type": "string"})
    assert derived["properties"]["work"] == {"$ref": "#/$defs/address"}
    assert derived["$defs"] == schema["$defs"]


def test_arrays_maps_and_tuples():
    schema = closed(
        items={"type": "array", "uniqueItems": True, "minItems": 1, "items": closed(note={"type": "string"})},
        labels={"type": "object", "additionalProperties": {"type": "string", "maxLength": 3}},
        pair={"type": "array", "prefixItems": [{"type": "integer"}, {"type": "integer"}], "items": False},
    )
    derived = changed(schema, **{"items[*].note": GONE, "labels.*": TEXT, "pair[*]": TEXT})["properties"]
    assert derived["items"] == {"type": "array", "items": closed()}
    assert derived["labels"] == {"type": "object", "additionalProperties": {"type": "string"}}
    assert derived["pair"]["prefixItems"] == [{"type": "string"}, {"type": "string"}]


def test_conditions_on_values_that_are_gone_go():
    schema = closed(kind={"enum": ["a", "b"]}, n={"type": "integer"}) | {
        "if": {"properties": {"kind": {"const": "a"}}},
        "then": {"required": ["n"]},
        "oneOf": [{"properties": {"kind": {"const": "a"}}}, {"properties": {"kind": {"const": "b"}}}],
    }
    derived = changed(schema, kind=TEXT)
    assert not {"if", "then", "oneOf"} & derived.keys()
    assert JsonForm(derived).passes({"kind": "sg1.e.x.y"})


def test_what_is_dropped_is_required_nowhere():
    schema = closed(a={"type": "string"}, b={"type": "string"}) | {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "required": ["a"],
        "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
        "dependencies": {"b": ["a"]},
    }
    derived = JsonForm(changed(schema, a=GONE))
    assert derived.passes({})
    assert derived.passes({"b": "x"})


def test_what_is_dropped_is_no_longer_asked_for_by_other_fields():
    schema = closed(a={"type": "string"}, b={"type": "string"}) | {"dependentRequired": {"b": ["a"]}}
    assert JsonForm(changed(schema, a=GONE)).passes({"b": "x"})


def test_a_field_that_refers_to_a_changed_one_stays_as_it_is():
    schema = closed(
        a=closed(n={"type": "integer"}) | {"title": "A"},
        b={"$ref": "#/properties/a"},
        c={"$ref": "#/properties/b/properties/n"},
    )
    schema["properties"]["b"] = closed(n={"$ref": "#/properties/a/properties/n"})
    derived = JsonForm(changed(schema, **{"a.n": TEXT}))
    assert derived.passes({"a": {"n": "sg1"}, "b": {"n": 1}, "c": 2})
    assert not derived.passes({"a": {"n": 1}})
    assert not derived.passes({"a": {"n": "sg1"}, "b": {"n": "x"}})


def test_fields_that_only_a_condition_declares_may_still_be_there():
    schema = {
        "type": "object",
        "properties": {"kind": {"enum": ["a", "b"]}},
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": "a"}}},
                "then": {"properties": {"n": {"type": "integer"}}},
            }
        ],
        "unevaluatedProperties": False,
    }
    assert JsonForm(schema).passes({"kind": "a", "n": 1})
    assert JsonForm(changed(schema, kind=TEXT)).passes({"kind": "sg1", "n": 1})


def test_what_an_older_draft_does_not_heed_narrows_nothing():
    schema = closed(a={"$ref": "#/definitions/maybe", "type": "integer"}) | {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"maybe": {"type": ["integer", "null"]}},
    }
    assert JsonForm(schema).passes({"a": None})
    assert JsonForm(changed(schema, a=TEXT)).passes({"a": None})


def test_nothing_changes_where_transforms_keep_the_form():
    form = JsonForm(closed(n={"type": "string", "pattern": "^[0-9]+$"}))
    assert form.changed({parse_path("n"): Change(frozenset({"string"}), keeps=True)}) is form


def test_references_between_schemas():
    address = closed(street={"type": "string", "x-streamguard": "PII"}, again={"$ref": "#/$defs/s"}) | {
        "$id": "https://example.com/address",
        "$defs": {"s": {"type": "string"}},
    }
    form = JsonForm(closed(home={"$ref": "address.json"}), {"address.json": address})
    assert [str(leaf.path) for leaf in form.leaves] == ["home.street", "home.again"]
    assert form.leaves[0].tags == {"PII"}
    assert form.passes({"home": {"street": "a", "again": "b"}})
    assert not form.passes({"home": {"street": 1}})
    derived = form.changed({parse_path("home.street"): GONE})
    assert derived.passes({"home": {"again": "b"}})
    assert not derived.passes({"home": {"street": "a"}})


VERBS = [
    "encrypt", "tokenize", "hash", "redact", "nullify", "drop", {"replace": {"value": 7}},
    {"encrypt": {"deterministic": True}}, "vault",
]  # fmt: skip
SCALARS = [
    {"type": "string", "maxLength": 40},
    {"type": "integer", "minimum": 0},
    {"type": ["number", "null"]},
    {"enum": ["x", "y", 3]},
    {"const": "only"},
]


# What holds for every document of the test below, and judges what may be dropped or changed.
BRANCHES = [
    {},
    {"anyOf": [{"required": ["a"]}, {"required": ["nothing"]}]},
    {"oneOf": [{"required": ["a"]}, {"required": ["nothing"]}]},
    {"allOf": [{"required": ["a", "inner"]}, {"properties": {"inner": {"required": ["b"]}}}]},
    {"dependentRequired": {"many": ["a"]}},
    {"dependentSchemas": {"many": {"required": ["a"]}}},
    {"if": {"required": ["a"]}, "then": {"required": ["inner"]}, "else": False},
    {"$schema": "http://json-schema.org/draft-07/schema#", "dependencies": {"many": ["a"]}},
    {"not": {"required": ["nothing"]}, "minProperties": 4},
]


def values(schema):
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    made = {
        "string": st.text(max_size=40),
        "integer": st.integers(0, 2**63),
        "number": st.floats(allow_nan=False, allow_infinity=False),
        "null": st.none(),
    }
    return st.one_of(*(made[kind] for kind in kinds))


@given(st.data())
def test_whatever_leaves_obeys_the_derived_schema(data):
    kinds = {name: data.draw(st.sampled_from(SCALARS)) for name in "abcd"}
    schema = closed(
        a=kinds["a"],
        inner=closed(b=kinds["b"]) | {"required": ["b"]},
        many={"type": "array", "items": {"anyOf": [closed(c=kinds["c"]), closed(d=kinds["d"])]}},
        same={"$ref": "#/properties/a"},
    ) | {"required": ["a"], **data.draw(st.sampled_from(BRANCHES))}
    rules = {path: data.draw(st.sampled_from(VERBS)) for path in ("a", "inner.b", "many[*].c", "many[*].d")}
    policy = Policy.model_validate(
        {
            "name": "p",
            "version": "1",
            "topic": "t",
            "key": "drop",
            "fields": rules,
            "keep": ["same"],
            "inspect": {"skip": ["same"]},
        }
    )
    keyring = Keyring.in_memory()
    document = {
        "a": data.draw(values(kinds["a"])),
        "same": data.draw(values(kinds["a"])),
        "inner": {"b": data.draw(values(kinds["b"]))},
        "many": data.draw(
            st.lists(
                st.fixed_dictionaries({"c": values(kinds["c"])})
                | st.fixed_dictionaries({"d": values(kinds["d"])})
            )
        ),
    }
    form = JsonForm(schema)
    assert form.passes(document)
    batch = Batch("t", [orjson.dumps(document)])
    Guard(policy, schema, keyring).process(batch)
    assert batch.live == [0]
    derived = out_form(policy, form, keyring)
    clean = orjson.loads(batch.out_values[0])
    assert derived.passes(clean), (derived.schema.document, clean)
