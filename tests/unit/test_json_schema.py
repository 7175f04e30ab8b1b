"""What a JSON Schema declares, and what is said of a document that breaks it."""

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streamguard.errors import ConfigError
from streamguard.formats.json_schema import MESSAGES, Schema
from streamguard.policy.paths import Wild

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
        (
            {"type": "object", "oneOf": [obj(x=STRING), obj(x={"type": "integer"})]},
            {"x": ({"string", "integer"}, False)},
        ),
        (
            {
                "type": "object",
                "properties": {"x": {"enum": [1, "a"]}},
                "if": obj(t=STRING),
                "then": obj(x=STRING),
            },
            {"x": ({"integer", "string"}, False)},
        ),
        (
            obj(
                m={
                    "type": "object",
                    "patternProperties": {"^a": STRING, "^b": {"type": "integer"}},
                    "additionalProperties": False,
                }
            ),
            {"m.*": ({"string", "integer"}, False)},
        ),
        (
            obj(m={"type": "object", "patternProperties": {"^a": STRING}}),
            {"m.*": ({"string", "number", "boolean", "object", "array"}, True)},
        ),
        (
            obj(a={"type": "array", "prefixItems": [STRING]}),
            {"a[*]": ({"string", "number", "boolean", "object", "array"}, True)},
        ),
        (
            obj(a={"type": "object", "if": {}, "then": {"additionalProperties": False}}),
            {"a": ({"object"}, True)},
        ),
        (obj(a={"type": "integer", "enum": [1.0, 2.0]}), {"a": ({"integer"}, False)}),
        ({"$defs": {"any": True}, **obj(a={"$ref": "#/$defs/any"})}, shapes(obj(a={}))),
        ({"$defs": {"a b%": STRING}, **obj(a={"$ref": "#/$defs/a%20b%25"})}, {"a": ({"string"}, False)}),
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


DRAFT_4 = {"$schema": "http://json-schema.org/draft-04/schema#"}
DRAFT_7 = {"$schema": "http://json-schema.org/draft-07/schema#"}


@pytest.mark.parametrize(
    ("document", "passes"),
    [
        # Draft 4 has no const, and so lets everything pass.
        ({**DRAFT_4, **obj(a={"const": "x"})}, {"a": {"b": 1}}),
        # Until draft 7, what stands beside a reference counts for nothing.
        (
            {
                **DRAFT_7,
                **obj(a={"$ref": "#/definitions/a", "type": "string"}),
                "definitions": {"a": {**obj(b=STRING), "additionalProperties": False}},
            },
            {"a": {"b": "x"}},
        ),
        # A place that `passes` does not bound.
        ({**obj(a={"$ref": "#/x-types/n"}), "x-types": {"n": {"type": "integer"}}}, {"a": 2.0**70}),
        # Two places of one name, of which the validator means the second.
        (
            {
                **obj(a={"$ref": "#n"}),
                "default": {"$anchor": "n", "type": "string"},
                "$defs": {"n": {"$anchor": "n"}},
            },
            {"a": {"b": 1}},
        ),
    ],
)
def test_what_a_draft_does_not_heed_closes_nothing(document, passes):
    schema = Schema({**document, "additionalProperties": False})
    assert schema.is_valid(passes)
    assert not schema.is_closed


@pytest.mark.parametrize(
    "document",
    [
        {
            **DRAFT_4,
            **obj(a={"type": "object", "additionalProperties": STRING, "propertyNames": {"maxLength": 3}}),
        },
        {**DRAFT_7, **obj(a={"type": "object", "unevaluatedProperties": False})},
        obj(a={"type": "array", "prefixItems": [STRING], "additionalItems": False}),
        {**DRAFT_7, **obj(a={"type": "array", "items": [STRING], "unevaluatedItems": False})},
        {**DRAFT_7, **obj(a={"type": "array", "additionalItems": STRING})},
        obj(a={"type": "array", "prefixItems": [STRING], "contains": {}, "unevaluatedItems": False}),
    ],
)
def test_what_a_draft_does_not_heed_limits_nothing(document):
    (leaf,) = leaves(document).values()
    assert leaf.free


def test_properties_that_something_else_allows_are_not_unevaluated():
    patterns = {"patternProperties": {"^a": STRING}, "unevaluatedProperties": {"type": "string"}}
    found = leaves(
        obj(m={"type": "object", "propertyNames": {"maxLength": 3}, "additionalProperties": True, **patterns})
    )
    assert found["m.*"].free


@pytest.mark.parametrize(
    ("document", "form"),
    [
        (obj(a={**STRING, "format": "uuid"}), "uuid"),
        ({**DRAFT_7, **obj(a={**STRING, "format": "uuid"})}, ""),
        ({**DRAFT_7, **obj(a={**STRING, "format": "email"})}, "email"),
        (obj(a={**STRING, "format": "no-such"}), ""),
        (obj(a={**STRING, "anyOf": [{"format": "uuid"}, {"maxLength": 9}]}), ""),
        (obj(a={**STRING, "allOf": [{"format": "uuid"}]}), "uuid"),
        ({"type": "object", "if": {}, "then": obj(a={**STRING, "format": "uuid"}), **obj(a=STRING)}, ""),
    ],
)
def test_a_format_is_named_where_every_value_has_it(document, form):
    assert leaves(document)["a"].format == form


def test_an_enum_of_one_alternative_is_not_the_leafs():
    assert leaves(obj(a={**STRING, "anyOf": [{"enum": ["x"]}, {"maxLength": 9}]}))["a"].enum == ()


def test_a_document_within_the_document_is_refused():
    inner = {"$id": "https://example.com/inner", "$ref": "#/$defs/x", "$defs": {"x": {}}}
    with pytest.raises(ConfigError, match="another document") as refused:
        Schema({"$id": "https://example.com/outer", **obj(a=inner), "$defs": {"x": STRING}})
    assert refused.value.remedy
    assert "a" in leaves({**obj(a={"$ref": "street"}), "$defs": {"s": {"$id": "street", **STRING}}})


# -- Whatever the schema, what is read from it is never narrower than what it lets pass --------------------------------

_TYPES = st.sampled_from(["string", "integer", "number", "boolean", "object", "array", "null"])
_NAMES = st.sampled_from(["a", "b", "x-c"])
_VALUES = st.sampled_from(["t", 1, 1.0, 1.5, True, None])


def _schemas(children):
    lists = st.lists(children, min_size=1, max_size=2)
    keywords = {
        "type": _TYPES | st.lists(_TYPES, min_size=1, max_size=2, unique=True),
        "enum": st.lists(_VALUES, min_size=1, max_size=2, unique_by=repr).filter(
            lambda values: 1.0 not in values[1:]
        ),
        "const": _VALUES,
        "properties": st.dictionaries(_NAMES, children, max_size=2),
        "patternProperties": st.dictionaries(st.sampled_from(["^x-", "^a"]), children, max_size=2),
        "additionalProperties": st.booleans() | children,
        "unevaluatedProperties": st.just(False) | children,
        "propertyNames": st.just({"maxLength": 3}),
        "items": children,
        "prefixItems": lists,
        "additionalItems": st.just(False) | children,
        "unevaluatedItems": st.just(False) | children,
        "allOf": lists,
        "anyOf": lists,
        "oneOf": lists,
        "if": children,
        "then": children,
        "else": children,
        "not": children,
        "dependentSchemas": st.dictionaries(_NAMES, children, max_size=1),
        "$ref": st.sampled_from(["#/$defs/one", "#/definitions/two"]),
    }
    return st.fixed_dictionaries({}, optional=keywords)


_PLAIN = st.fixed_dictionaries({"type": _TYPES}) | st.just({})
_NODES = st.recursive(_PLAIN, _schemas, max_leaves=6)
_ROOTS = st.builds(
    lambda draft, root, one, two: {**draft, **root, "$defs": {"one": one}, "definitions": {"two": two}},
    st.sampled_from([{}, DRAFT_4, DRAFT_7, {"$schema": "https://json-schema.org/draft/2019-09/schema"}]),
    _NODES.flatmap(
        lambda node: st.just({"type": "object", "additionalProperties": False, "properties": {"a": node}})
    ),
    _NODES,
    _NODES,
)
_SCALARS = ["t", 1, 1.0, 1.5, True, None]
_LEVELS = [
    *_SCALARS,
    *([one] for one in _SCALARS),
    *({name: one} for name in ("a", "b", "x-c") for one in _SCALARS),
]
_MANY = [
    *_LEVELS,
    [],
    {},
    ["t", 1],
    {"a": 1, "b": "t"},
    *([one] for one in _LEVELS),
    *({"a": one} for one in _LEVELS),
]
DOCUMENTS = [{"a": value} for value in _MANY]


def _standing(document, segments):
    """Every value at a path, and its JSON type."""
    nodes = [document]
    for step in segments:
        if step is Wild.EACH:
            nodes = [child for node in nodes if isinstance(node, list) for child in node]
        elif step is Wild.ANY:
            nodes = [child for node in nodes if isinstance(node, dict) for child in node.values()]
        else:
            nodes = [node[step] for node in nodes if isinstance(node, dict) and step in node]
    return [node for node in nodes if node is not None]


def _is_of(value, types):
    if isinstance(value, bool):
        return "boolean" in types
    if isinstance(value, int | float) and value == int(value):
        return bool({"integer", "number"} & types)
    names = {str: "string", float: "number", dict: "object", list: "array"}
    return names[type(value)] in types


def _scalars(node, path=()):
    if isinstance(node, dict):
        for name, child in node.items():
            yield from _scalars(child, (*path, name))
    elif isinstance(node, list):
        for child in node:
            yield from _scalars(child, (*path, Wild.EACH))
    elif node is not None:
        yield path


@given(_ROOTS)
def test_what_a_schema_lets_pass_is_what_it_declares(document):
    try:
        schema = Schema(document)
    except ConfigError:
        assume(False)
    declared = {leaf.path.segments for leaf in schema.leaves}
    for value in filter(schema.is_valid, DOCUMENTS):
        for leaf in schema.leaves:
            found = _standing(value, leaf.path.segments)
            narrow = [one for one in found if not _is_of(one, leaf.types)]
            # Where a schema is not closed, objects and arrays out of place are `Declared`'s business.
            assert not [one for one in narrow if schema.is_closed or not isinstance(one, dict | list)]
        if schema.is_closed:
            assert set(_scalars(value)) <= declared


@given(_ROOTS, st.integers(min_value=0, max_value=3))
def test_several_documents_pass_when_each_of_them_does(document, others):
    try:
        schema = Schema(document)
    except ConfigError:
        assume(False)
    good = list(filter(schema.passes, DOCUMENTS))
    assert schema.all_pass(good)
    assert schema.all_pass([])
    for value in DOCUMENTS:
        assert schema.all_pass([*good[:others], value, *good[others:]]) is schema.passes(value)


@pytest.mark.parametrize("draft", [{}, DRAFT_4, DRAFT_7])
def test_several_documents_pass_by_references_and_within_64_bits(draft):
    schema = Schema(
        {
            **draft,
            ("id" if draft == DRAFT_4 else "$id"): "https://example.com/orders.json",
            **obj(a={"$ref": "#/definitions/a"}, n={"type": "integer"}),
            "definitions": {"a": STRING},
            "additionalProperties": False,
        }
    )
    assert schema.is_closed
    assert schema.all_pass([{"a": "x"}, {"n": 1}])
    assert not schema.all_pass([{"a": "x"}, {"a": 1}])
    assert not schema.all_pass([{"n": 1}, {"n": 2.0**70}])
    assert not schema.all_pass([[{"a": "x"}]])


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


def test_a_schema_whose_references_multiply_is_refused_before_it_takes_for_ever():
    def twice(number):
        return {"anyOf": [{"$ref": f"#/$defs/{number + 1}"}, {"$ref": f"#/$defs/{number + 1}"}]}

    definitions = {str(number): twice(number) for number in range(40)} | {"40": {"type": "string"}}
    with pytest.raises(ConfigError, match="so many places"):
        _ = Schema({"$defs": definitions, "$ref": "#/$defs/0"}).leaves


def test_a_reference_to_elsewhere_is_named_as_what_is_wrong():
    with pytest.raises(ConfigError, match="a reference") as caught:
        Schema({"properties": {"a": {"$ref": "http://127.0.0.1:9/x.json"}}})
    assert "inside the file" in caught.value.remedy


def test_tags_beside_a_reference_count_in_every_draft():
    (leaf,) = Schema(
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "definitions": {"text": {"type": "string", "x-streamguard": "ID"}},
            "properties": {"ssn": {"$ref": "#/definitions/text", "confluent:tags": ["PII"]}},
        }
    ).leaves
    assert leaf.tags == {"ID", "PII"}


def test_what_a_dependency_declares_is_declared():
    schema = Schema(
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {"card": {"type": "string"}},
            "dependencies": {
                "card": {"properties": {"holder": {"type": "string", "x-streamguard": "PII"}}},
                "holder": ["card"],
            },
        }
    )
    assert [(str(leaf.path), leaf.tags) for leaf in schema.leaves] == [("card", set()), ("holder", {"PII"})]
