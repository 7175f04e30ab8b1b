"""What documents have in common: types, formats, what is always there, and objects that are maps."""

import pytest

from streamguard.draft.schema import schema_of
from streamguard.draft.shape import is_data, shape_of
from streamguard.errors import ConfigError
from streamguard.formats.json_schema import Schema


def properties(*documents):
    schema = schema_of(shape_of(documents))
    assert all(Schema(schema).is_valid(document) for document in documents)
    assert schema["additionalProperties"] is False
    return schema["properties"]


@pytest.mark.parametrize(
    ("values", "node"),
    [
        ([1, 2], {"type": "integer"}),
        ([1, 2.5], {"type": "number"}),
        (["x", None], {"type": ["string", "null"]}),
        ([True, "x"], {"type": ["string", "boolean"]}),
        (["2024-01-31", "1999-12-01"], {"type": "string", "format": "date"}),
        (["2024-01-31", "2024-02-31"], {"type": "string"}),
        (["2024-01-31T10:00:00Z", "2024-01-31T10:00:00+01:00"], {"type": "string", "format": "date-time"}),
        (["2024-01-31", "2024-01-31T10:00:00Z"], {"type": "string"}),
        (["a@example.com", "b@example.org"], {"type": "string", "format": "email"}),
        (["a@example.com", ""], {"type": "string"}),
        (["0b4f2c1e-5a51-4c53-9d55-0d6f9b8c2a11"], {"type": "string", "format": "uuid"}),
        (["192.0.2.1"], {"type": "string", "format": "ipv4"}),
        (["192.0.2.1", "2001:db8::1"], {"type": "string"}),
        (["2001:db8::1", None], {"type": ["string", "null"], "format": "ipv6"}),
        ([[1], [], [2, 3]], {"type": "array", "items": {"type": "integer"}}),
        ([{"a": 1}, "x"], {"type": ["object", "string"]}),
        ([[], "x"], {"type": ["array", "string"]}),
        ([{}], {"type": "object"}),
    ],
)
def test_a_place_has_the_types_and_the_format_of_all_its_values(values, node):
    assert properties(*({"x": value} for value in values))["x"] == node


@pytest.mark.parametrize("value", [None, []])
def test_what_was_never_filled_has_no_type(value):
    schema = properties({"x": value})["x"]
    node = schema["items"] if value == [] else schema
    assert set(node) == {"$comment"}


def test_what_is_always_there_is_required():
    schema = schema_of(shape_of([{"a": 1, "b": {"c": 1, "d": 1}}, {"a": None, "b": {"c": 2}}, {"a": 1}]))
    assert schema["required"] == ["a"]
    assert schema["properties"]["b"]["required"] == ["c"]


def test_elements_of_all_arrays_are_looked_at_together():
    items = properties({"x": [{"a": 1}, {"b": "t"}]}, {"x": [{"a": 1.5}]}, {"x": None})["x"]["items"]
    assert items["properties"] == {"a": {"type": "number"}, "b": {"type": "string"}}
    assert "required" not in items


@pytest.mark.parametrize(
    "name",
    [
        "ana@example.com", "C00000042", "0b4f2c1e-5a51-4c53-9d55-0d6f9b8c2a11", "2024-01-31", "203.0.113.7", "17", "",
        "9f86d081884c7d659a2feaa0c55ad015", "4111 1111 1111 1111", "a\nb", "+49 30 901820", "x" * 101,
        "00:1b:44:11:3a:b7",
    ],
)  # fmt: skip
def test_names_that_are_data(name):
    assert is_data(name)
    schema = schema_of(shape_of([{"map": {name: {"n": 1}, "total": {"n": 2}}}]))
    node = schema["properties"]["map"]
    assert node["additionalProperties"]["properties"] == {"n": {"type": "integer"}}
    assert "properties" not in node


@pytest.mark.parametrize(
    "name",
    [
        "*",
        "a.b",
        "x[0]",
        "with space",
        "$id",
        "iso8601",
        "address_line_2",
        "field_499",
        "ünïcode",
        "😀",
        "utf8",
    ],
)
def test_names_that_are_names(name):
    assert not is_data(name)


def test_many_names_with_alike_values_are_a_map():
    people = [
        {"scores": {f"p{chr(97 + number)}{chr(97 + other)}": 1}} for number in range(9) for other in range(9)
    ]
    assert properties(*people)["scores"] == {"type": "object", "additionalProperties": {"type": "integer"}}


def test_names_of_people_are_a_map():
    schema = schema_of(
        shape_of([{"scores": {"Anna Schmidt": 3, "Bo Li": 4.5}, "sizes": {"Front Wheel": 1, "note": "x"}}])
    )
    assert schema["properties"]["scores"] == {"type": "object", "additionalProperties": {"type": "number"}}
    assert list(schema["properties"]["sizes"]["properties"]) == ["Front Wheel", "note"]


def test_few_names_that_come_again_are_fields():
    events = [
        {"event": {name: {"at": 1}}} for name in ("click", "view", "buy", "share", "leave") for _ in range(20)
    ]
    assert set(properties(*events)["event"]["properties"]) == {"click", "view", "buy", "share", "leave"}


def test_rare_names_with_unlike_values_are_fields():
    values = [1, "x", True, 1.5, [1]]
    documents = [{"o": {f"n{'abcde'[number]}": values[number]}} for number in range(5)]
    assert len(properties(*documents)["o"]["properties"]) == 5


def test_a_map_of_maps_names_nothing():
    node = properties({"m": {"ana@example.com": {"bo@example.com": {"n": 1}}}})["m"]
    assert node["additionalProperties"]["additionalProperties"]["properties"] == {"n": {"type": "integer"}}


@pytest.mark.parametrize(
    "documents",
    [[{"ana@example.com": 1}], [{"id": 1, "": 2}], [{name: 1} for name in ("ana", "bo", "cy", "di", "ed")]],
)
def test_records_that_are_maps_are_refused_without_naming_a_name(documents):
    with pytest.raises(ConfigError) as refused:
        shape_of(documents)
    assert "look like data" in str(refused.value)
    assert "ana" not in str(refused.value)


def test_the_leaves_are_those_of_the_schema():
    schema = schema_of(shape_of([{"a": {"b": [{"c": 1}]}, "m": {"1": 2}, "s": "x"}]))
    assert {str(leaf.path): leaf.free for leaf in Schema(schema).leaves} == {
        "a.b[*].c": False,
        "m": True,
        "s": False,
    }
