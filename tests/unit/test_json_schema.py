"""What a JSON Schema declares, and what is said of a document that breaks it."""

import orjson
import pytest

from streamguard.errors import ConfigError
from streamguard.formats.json_schema import MESSAGES, Schema

CLOSED = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id"],
    "properties": {
        "id": {"type": "string"},
        "count": {"type": ["integer", "null"]},
        "customer": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"email": {"type": "string", "format": "email"}},
        },
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "price": {"type": "number"},
                    "tags": {"type": "array", "items": {"type": "string"}},
                },
            },
        },
    },
}


def leaves(document):
    return {str(leaf.path): leaf for leaf in Schema(document).leaves}


def shapes(document):
    return {path: (set(leaf.types), leaf.free) for path, leaf in leaves(document).items()}


def obj(**properties):
    return {"type": "object", "properties": properties}


STRING = {"type": "string"}


def test_leaves_of_a_closed_schema():
    assert shapes(CLOSED) == {
        "id": ({"string"}, False),
        "count": ({"integer"}, False),
        "customer.email": ({"string"}, False),
        "items[*].price": ({"number"}, False),
        "items[*].tags[*]": ({"string"}, False),
    }
    assert leaves(CLOSED)["customer.email"].format == "email"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (obj(a=STRING, b=obj(c=STRING)), {"a": ({"string"}, False), "b.c": ({"string"}, False)}),
        (obj(x={}), {"x": ({"string", "number", "boolean", "object", "array"}, True)}),
        (obj(x=True), {"x": ({"string", "number", "boolean", "object", "array"}, True)}),
        (obj(m={"type": "object"}), {"m": ({"object"}, True)}),
        (obj(m={"type": "object", "additionalProperties": STRING}), {"m": ({"object"}, True)}),
        (
            obj(
                m={"type": "object", "additionalProperties": STRING, "propertyNames": {"pattern": "^[a-z]+$"}}
            ),
            {"m.*": ({"string"}, False)},
        ),
        (
            obj(m={"type": "object", "patternProperties": {"^x-": STRING}, "additionalProperties": False}),
            {"m.*": ({"string"}, False)},
        ),
        (obj(a={"type": "array"}), {"a": ({"array"}, True)}),
        (obj(a={"anyOf": [STRING, obj(b=STRING)]}), {"a": ({"string", "object"}, True)}),
        (obj(a={"anyOf": [STRING, {"type": "integer"}]}), {"a": ({"string", "integer"}, False)}),
        (
            obj(a={"oneOf": [obj(b=STRING), obj(c=STRING)]}),
            {"a.b": ({"string"}, False), "a.c": ({"string"}, False)},
        ),
        (
            {"allOf": [obj(a=STRING), obj(b=STRING)], "type": "object"},
            {"a": ({"string"}, False), "b": ({"string"}, False)},
        ),
        (
            {"allOf": [obj(a={"type": "integer"}), obj(a={"type": "number"})], "type": "object"},
            {"a": ({"integer"}, False)},
        ),
        (obj(a={"enum": ["x", 1, None]}), {"a": ({"string", "integer"}, False)}),
        (obj(a={"const": True}), {"a": ({"boolean"}, False)}),
        (obj(a=obj(), b=STRING), {"a": ({"object"}, True), "b": ({"string"}, False)}),
        (
            {"type": "object", "additionalProperties": False, "properties": {}},
            {},
        ),
        (
            {"$defs": {"name": STRING}, **obj(first={"$ref": "#/$defs/name"})},
            {"first": ({"string"}, False)},
        ),
        (
            {
                "definitions": {"p": obj(name=STRING)},
                **obj(a={"$ref": "#/definitions/p"}, b={"$ref": "#/definitions/p"}),
            },
            {"a.name": ({"string"}, False), "b.name": ({"string"}, False)},
        ),
        (
            {"$defs": {"n": obj(v=STRING, next={"$ref": "#/$defs/n"})}, "$ref": "#/$defs/n"},
            {"v": ({"string"}, False), "next": ({"object"}, True)},
        ),
        (
            {
                "type": "object",
                "if": obj(t={"const": "x"}),
                "then": obj(secret=STRING),
                "properties": {"t": STRING},
            },
            {"t": ({"string"}, False), "secret": ({"string"}, False)},
        ),
        (
            obj(a={"type": "array", "prefixItems": [STRING, {"type": "integer"}], "items": False}),
            {"a[*]": ({"string", "integer"}, False)},
        ),
        ({"type": "array", "items": obj(id=STRING)}, {"[*].id": ({"string"}, False)}),
    ],
)
def test_leaves(document, expected):
    assert shapes(document) == expected


def test_only_plain_closed_schemas_are_closed():
    assert Schema(CLOSED).is_closed
    open_ones = [
        obj(a=STRING),
        {**CLOSED, "patternProperties": {"^x": STRING}},
        {**CLOSED, "anyOf": [{"required": ["id"]}]},
        {**CLOSED, "properties": {"id": {}}},
        {**CLOSED, "properties": {"id": {"type": "object"}}},
        {**CLOSED, "properties": {"id": {"type": ["object", "string"], "additionalProperties": False}}},
    ]
    assert not any(Schema(document).is_closed for document in open_ones)


def test_closed_schema_lets_no_rounded_integer_pass_unseen():
    schema = Schema(CLOSED)
    for number, passes in [
        (0, True),
        (2**53 + 1, True),
        (-(2**62), True),
        (2**64, False),
        (-(2**63) - 1, False),
    ]:
        assert schema.passes(orjson.loads(b'{"id":"x","count":%d}' % number)) is passes


def test_a_draft_4_schema_is_bounded_too():
    schema = Schema({"$schema": "http://json-schema.org/draft-04/schema#", **CLOSED})
    assert schema.passes({"id": "x", "count": 1})
    assert not schema.passes({"id": "x", "count": float(2**64)})


def test_errors_name_declared_paths_only_and_no_value():
    schema = Schema(CLOSED)
    document = {
        "ana@example.com": 1,
        "count": "ana@example.com",
        "customer": {"email": "CANARY", "CANARY": 1},
        "items": [{"price": "CANARY"}, 5, {"CANARY": {"CANARY": 1}}],
    }
    errors = list(schema.errors(document))
    assert {(keyword, path) for keyword, path, _ in errors} == {
        ("required", "id"),
        ("type", "count"),
        ("format", "customer.email"),
        ("undeclared", "customer.*"),
        ("type", "items[*].price"),
        ("type", "items[*]"),
        ("undeclared", "items[*].*"),
        ("undeclared", "*"),
    }
    assert all(message == MESSAGES[keyword] for keyword, _, message in errors)
    assert "CANARY" not in repr(errors)
    assert "ana@" not in repr(errors)


@pytest.mark.parametrize(
    "document",
    [{"type": "strin"}, {"$ref": "https://example.com/other.json"}, {"type": "string", "pattern": "("}, [1]],
)
def test_invalid_schemas_are_refused_with_a_remedy(document):
    with pytest.raises(ConfigError) as refused:
        Schema(document)
    assert refused.value.remedy


def test_a_pattern_that_needs_backtracking_is_bounded():
    schema = Schema(obj(a={"type": "string", "pattern": r"^(?=(a+)+$)x"}))
    assert not schema.is_valid({"a": "a" * 5000 + "!"})
