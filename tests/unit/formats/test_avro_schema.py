"""What an Avro schema declares, and which schemas are refused."""

import json
import time

import pytest

from streamguard.errors import ConfigError
from streamguard.formats.avro import AvroForm
from streamguard.formats.base import Change, Leaf
from streamguard.policy.paths import Path, parse_path
from tests.unit.formats.avro_cases import ORDER, record, written


def leaves(schema, references=None):
    return {str(leaf.path): leaf for leaf in AvroForm(schema, references or {}).leaves}


def types(schema):
    return {path: set(leaf.types) for path, leaf in leaves(schema).items()}


def test_the_order():
    found = leaves(ORDER)
    assert list(found) == [
        *("event_id", "ts", "type", "customer.id", "customer.name", "customer.email", "customer.phone"),
        *("customer.ssn", "customer.birth_date", "payment.card_number", "payment.amount", "payment.currency"),
        *("items[*].sku", "items[*].qty", "items[*].price", "ip", "note"),
    ]
    assert found["ts"] == Leaf(parse_path("ts"), frozenset({"string"}), format="date-time")
    assert found["customer.birth_date"].format == "date"
    assert found["type"].enum == ("order_placed", "order_paid", "order_cancelled")
    assert found["items[*].qty"].types == {"integer"}
    assert AvroForm(ORDER).is_closed


@pytest.mark.parametrize(
    ("schema", "kind", "form"),
    [
        ("boolean", "boolean", ""),
        ("int", "integer", ""),
        ("long", "integer", ""),
        ("float", "number", ""),
        ("double", "number", ""),
        ("string", "string", ""),
        ("bytes", "bytes", ""),
        ({"type": "fixed", "name": "F", "size": 2}, "bytes", ""),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "string", ""),
        ({"type": "int", "logicalType": "date"}, "string", "date"),
        ({"type": "int", "logicalType": "time-millis"}, "string", "time"),
        ({"type": "long", "logicalType": "time-micros"}, "string", "time"),
        *(
            ({"type": "long", "logicalType": f"{prefix}timestamp-{unit}"}, "string", "date-time")
            for prefix in ("", "local-")
            for unit in ("millis", "micros", "nanos")
        ),
        ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, "string", "decimal"),
        (
            {"type": "fixed", "name": "F", "size": 4, "logicalType": "decimal", "precision": 9},
            "string",
            "decimal",
        ),
        ({"type": "string", "logicalType": "uuid"}, "string", ""),
        ({"type": "fixed", "name": "F", "size": 16, "logicalType": "uuid"}, "string", "uuid"),
        ({"type": "fixed", "name": "F", "size": 12, "logicalType": "duration"}, "bytes", ""),
        # Unknown, misplaced or incomplete logical types count as what is beneath them.
        ({"type": "long", "logicalType": "date"}, "integer", ""),
        ({"type": "int", "logicalType": "my-own"}, "integer", ""),
        ({"type": "int", "logicalType": 5}, "integer", ""),
        ({"type": "bytes", "logicalType": "decimal"}, "bytes", ""),
        ({"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 3}, "bytes", ""),
        ({"type": "bytes", "logicalType": "decimal", "precision": 10**9, "scale": 10**9}, "bytes", ""),
        ({"type": "bytes", "logicalType": "decimal", "precision": True}, "bytes", ""),
        ({"type": "fixed", "name": "F", "size": 2, "logicalType": "decimal", "precision": 9}, "bytes", ""),
        ({"type": "fixed", "name": "F", "size": 15, "logicalType": "uuid"}, "bytes", ""),
    ],
)
def test_single_types(schema, kind, form):
    [leaf] = AvroForm(record(("a", schema))).leaves
    assert (leaf.path, set(leaf.types), leaf.format, leaf.free) == (parse_path("a"), {kind}, form, False)
    [leaf] = AvroForm(["null", schema]).leaves
    assert (leaf.path, set(leaf.types), leaf.format) == (Path(()), {kind}, form)


def test_what_is_no_record():
    assert types({"type": "array", "items": record(("a", "int"))}) == {"[*].a": {"integer"}}
    assert types({"type": "map", "values": {"type": "array", "items": "string"}}) == {"*[*]": {"string"}}
    assert types("null") == types(record(("a", "null"))) == types(record()) == {}


def test_unions():
    enum = {"type": "enum", "name": "E", "symbols": ["A"]}
    other = {"type": "enum", "name": "O", "symbols": ["B", "A"]}
    date = {"type": "int", "logicalType": "date"}
    schema = record(
        ("mixed", ["null", "string", "long", "bytes"]),
        ("dated", ["null", date, "string"]),
        ("enums", [enum, other]),
        ("open", ["E", "string"]),
    )
    found = leaves(schema)
    assert types(schema) == {
        "mixed": {"string", "integer", "bytes"},
        "dated": {"string"},
        "enums": {"string"},
        "open": {"string"},
    }
    assert found["dated"].format == ""  # of some values only
    assert found["enums"].enum == ("A", "B")
    assert found["open"].enum == ()


def test_records_of_a_union_are_read_together():
    card = record(("id", "string"), ("number", "string"), ("at", record(("x", "int"), name="X")), name="Card")
    bank = record(("id", "long"), ("iban", ["null", "string"]), ("at", "string"), name="Bank")
    schema = record(("by", ["null", card, bank]))
    assert types(schema) == {
        "by.id": {"string", "integer"},
        "by.number": {"string"},
        "by.at": {"string", "object"},
        "by.iban": {"string"},
    }
    assert leaves(schema)["by.at"].free
    assert not AvroForm(schema).is_closed


@pytest.mark.parametrize(
    ("mixed", "kinds"),
    [
        (["string", record(("b", "int"), name="B")], {"string", "object"}),
        (["null", {"type": "array", "items": "int"}, "int"], {"array", "integer"}),
        ([{"type": "map", "values": "int"}, record(("b", "int"), name="B")], {"object"}),
        ([{"type": "map", "values": "int"}, {"type": "array", "items": "int"}], {"object", "array"}),
    ],
)
def test_objects_beside_other_things_are_guarded_as_a_whole(mixed, kinds):
    form = AvroForm(record(("a", mixed)))
    [leaf] = form.leaves
    assert (str(leaf.path), set(leaf.types), leaf.free) == ("a", kinds, True)
    assert not form.is_closed


def test_recursion_is_guarded_as_a_whole():
    schema = record(
        ("name", "string"),
        ("next", ["null", "R"]),
        ("all", {"type": "array", "items": "R"}),
        ("by", {"type": "map", "values": "R"}),
    )
    found = leaves(schema)
    assert list(found) == ["name", "next", "all[*]", "by.*"]
    assert all(found[path].free and found[path].types == {"object"} for path in ("next", "all[*]", "by.*"))
    mutual = record(("b", record(("a", ["null", "A"]), name="B")), name="A")
    assert types(mutual) == {"b.a": {"object"}}


def test_tags_hold_below_where_they_stand():
    schema = record(
        {"name": "a", "type": "string", "confluent:tags": ["PII"]},
        {"name": "b", "type": {"type": "string", "x-streamguard": "PCI"}, "x-streamguard": ["PII"]},
        {
            "name": "c",
            "type": ["null", record(("d", "int"), name="C", **{"confluent:tags": ["HEALTH"]})],
            "confluent:tags": "X",
        },
        {
            "name": "e",
            "type": {"type": "array", "items": {"type": "map", "values": "C", "x-streamguard": "M"}},
        },
        {"name": "f", "type": [{"type": "string", "confluent:tags": ["IN"]}, "int"]},
        **{"x-streamguard": "ALL"},
    )
    assert {path: set(leaf.tags) for path, leaf in leaves(schema).items()} == {
        "a": {"ALL", "PII"},
        "b": {"ALL", "PII", "PCI"},
        "c.d": {"ALL", "X", "HEALTH"},
        "e[*].*.d": {"ALL", "M", "HEALTH"},
        "f": {"ALL", "IN"},
    }


@pytest.mark.parametrize("tags", [5, [5], [""], {"PII": True}, None])
def test_tags_that_are_none(tags):
    with pytest.raises(ConfigError, match="confluent:tags"):
        AvroForm(record({"name": "a", "type": "string", "confluent:tags": tags}))


def test_descriptions():
    enum = {"type": "enum", "name": "E", "symbols": ["A"], "doc": "of the enum"}
    found = leaves(
        record(
            {"name": "a", "type": "string", "doc": "of the field"},
            ("b", ["null", enum]),
            ("c", "E"),
            ("d", "int"),
        )
    )
    assert [leaf.description for leaf in found.values()] == ["of the field", "of the enum", "of the enum", ""]


def test_references():
    address = record(
        ("street", "string"),
        ("kind", {"type": "enum", "name": "Kind", "symbols": ["HOME"]}),
        name="Address",
        namespace="com.b",
    )
    person = record(("home", "com.b.Address"), name="com.b.Person")
    schema = record(("who", "com.b.Person"), ("other", ["null", "com.b.Kind"]), name="com.a.Order")
    references = {"com.b.Person": person, "com.b.Address": address}
    form = AvroForm(schema, references)
    assert [str(leaf.path) for leaf in form.leaves] == ["who.home.street", "who.home.kind", "other"]
    document = {"who": {"home": {"street": "S", "kind": "HOME"}}, "other": None}
    alone = AvroForm(json.loads(form.text))
    assert alone.leaves == form.leaves
    assert form.encode(document) == alone.encode(document) == written(json.loads(form.text), document)
    assert AvroForm("com.b.Kind", references).decode(b"\0") == "HOME"


def test_text_is_the_schema_as_it_came():
    schema = record(
        {"name": "a", "type": {"type": "string", "avro.java.string": "String"}, "doc": "é"}, custom=[1, None]
    )
    assert AvroForm(schema).text == (
        '{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"string","avro.java.string":"String"},'
        '"doc":"é"}],"custom":[1,null]}'
    )
    assert AvroForm("string").text == '"string"'


def test_half_a_character_in_a_schema_can_be_sent_to_a_registry():
    schema = json.loads('{"type":"record","name":"R","doc":"\\ud83d é","fields":[]}')
    text = AvroForm(schema).text
    assert json.loads(text.encode()) == schema
    assert "é" in text


def test_the_record_that_a_schema_describes_has_a_name():
    form = AvroForm(ORDER)
    assert form.record_name == form.changed({parse_path("ts"): Change(frozenset({"string"}))}).record_name
    assert form.record_name == "com.example.orders.Order"
    assert AvroForm(["null", "int"]).record_name == AvroForm("string").record_name == ""


def test_names_and_namespaces():
    inner = record(("a", "int"), name="Inner")
    schema = record(("x", inner), ("y", "Inner"), ("z", "com.a.Inner"), name="Outer", namespace="com.a")
    assert list(types(schema)) == ["x.a", "y.a", "z.a"]
    assert list(types(record(("x", {**inner, "namespace": None}), ("y", "com.a.Inner"), name="com.a.O"))) == [
        "x.a",
        "y.a",
    ]
    with pytest.raises(ConfigError, match="'Inner'"):
        AvroForm(record(("x", {**inner, "namespace": ""}), ("y", "Inner"), name="com.a.Outer"))


@pytest.mark.parametrize(
    "schema",
    [
        None,
        5,
        {},
        [],
        "record",
        "Unknown",
        {"type": "Unknown"},
        {"type": {"type": "string"}},
        {"type": ["string"]},
        {"type": "array"},
        {"type": "map"},
        {"type": "record", "name": "R"},
        {"type": "record", "fields": []},
        {"type": "record", "name": "1R", "fields": []},
        {"type": "record", "name": "a..R", "fields": []},
        {"type": "record", "name": "string", "fields": []},
        {"type": "record", "name": "string", "namespace": "com.a", "fields": []},
        {"type": "record", "name": "R", "namespace": 5, "fields": []},
        {"type": "record", "name": "R", "fields": [5]},
        {"type": "record", "name": "R", "fields": [{"name": "a"}]},
        {"type": "record", "name": "R", "fields": [{"name": "a-b", "type": "int"}]},
        {"type": "record", "name": "R", "fields": [{"name": "a'); import os", "type": "int"}]},
        record(("a", "int"), ("a", "int")),
        record(("a", record(("b", "int")))),
        ["int", "int"],
        ["int", ["string"]],
        ["R", record(("a", "int"))],
        [record(("a", "int")), "R"],
        {"type": "fixed", "name": "F", "size": -1},
        {"type": "fixed", "name": "F", "size": True},
        {"type": "fixed", "name": "F"},
        {"type": "fixed", "name": "F", "size": 2**31},
        {"type": "fixed", "name": "F", "size": 10**400, "logicalType": "decimal", "precision": 5},
        {"type": "enum", "name": "E", "symbols": ["A", "A"]},
        {"type": "enum", "name": "E", "symbols": ["A-B"]},
        {"type": "enum", "name": "E", "symbols": "AB"},
    ],
)
def test_what_is_no_schema(schema):
    with pytest.raises(ConfigError):
        AvroForm(schema)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (record(("a", "R")), "always holds itself"),
        (record(("a", record(("b", "R"), name="B"))), "always holds itself"),
        ({"type": "array", "items": "null"}, "take no bytes"),
        ({"type": "array", "items": record()}, "take no bytes"),
        ({"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}, "take no bytes"),
        (
            record(("x", ["null", {"type": "array", "items": record(("a", "null"), name="N")}])),
            "take no bytes",
        ),
    ],
)
def test_schemas_of_which_few_bytes_make_endless_values(schema, message):
    with pytest.raises(ConfigError, match=message):
        AvroForm(schema)


@pytest.mark.parametrize("doublings", [12, 60])
def test_a_type_whose_one_byte_would_be_millions_of_records(doublings):
    """It stands beside a text, where nothing below it counts as a place."""
    bomb = record(("a", "null"), name="B0")
    for number in range(1, doublings):
        bomb = record(("a", bomb), ("b", bomb["name"]), name=f"B{number}")
    with pytest.raises(ConfigError, match="1,000 values that take no bytes"):
        AvroForm(record(("a", ["string", bomb])))


@pytest.mark.parametrize("members", [1_000, 1_001, 20_000])
def test_unions_have_a_thousand_types_at_most(members):
    schema = [record((f"a{number}", "int"), name=f"R{number}") for number in range(members)]
    if members == 1_000:
        form = AvroForm(schema)
        assert form.decode(b"\xce\x0f\x02") == {"a999": 1}
        assert form.encode({"a999": 1}) == b"\xce\x0f\x02"
    else:
        with pytest.raises(ConfigError, match="1,000 types"):
            AvroForm(schema)


def test_schemas_that_are_too_large_or_too_deep_are_refused_quickly():
    started = time.process_time()
    bomb = "int"
    for number in range(40):
        name = f"B{number}"
        bomb = record(("x", bomb), ("y", bomb if isinstance(bomb, str) else bomb["name"]), name=name)
    with pytest.raises(ConfigError, match="10,000 places"):
        AvroForm(bomb)
    empty = record(name="E")
    for number in range(40):
        empty = record(("x", empty), ("y", empty["name"]), name=f"B{number}")
    with pytest.raises(ConfigError, match="10,000 places"):
        AvroForm(empty)
    deep = "int"
    for _ in range(101):
        deep = {"type": "array", "items": deep}
    with pytest.raises(ConfigError, match="deeper"):
        AvroForm(deep)
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ConfigError):
        AvroForm(deep)
    flat = record(("a", "int"), name="N0")
    chain = [flat, *(record(("a", ["null", f"N{number}"]), name=f"N{number + 1}") for number in range(5000))]
    with pytest.raises(ConfigError, match="deeper"):
        AvroForm(record(*((f"f{number}", each) for number, each in enumerate(chain))))
    assert time.process_time() - started < 60
