"""The schema of what leaves."""

import json
from io import BytesIO

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamguard.errors import ConfigError
from streamguard.formats.avro import AvroForm
from streamguard.formats.base import Change
from streamguard.policy.paths import Path, parse_path
from tests.unit.formats.avro_cases import ORDER, cases, readback, record, written

TEXT = Change(frozenset({"string"}))
GONE = Change(frozenset())
NULL = Change(frozenset(), nulls=True)
KEPT = Change(frozenset({"string"}), keeps=True)


def derived(schema, references=None, **changes):
    """The derived schema; paths are written with ``__`` for a dot and ``_each`` for ``[*]``."""
    paths = {
        parse_path(path.replace("__", ".").replace("_each", "[*]")): change
        for path, change in changes.items()
    }
    form = AvroForm(schema, references or {}).changed(paths)
    made = json.loads(form.text)
    fastavro.parse_schema(made)
    assert form.text == json.dumps(made, separators=(",", ":"), ensure_ascii=False)
    return made


def field(schema, **changes):
    """What becomes of a record's single field `a`; None when it disappears."""
    more = (
        schema
        if isinstance(schema, dict) and "name" in schema and "type" in schema and schema["name"] == "a"
        else {}
    )
    made = derived(record(more or ("a", schema)), **changes)
    return made["fields"][0] if made["fields"] else None


def of(schema, change):
    return field(schema, a=change)["type"]


@pytest.mark.parametrize(
    ("types", "avro"),
    [
        ({"string"}, "string"),
        ({"integer"}, "long"),
        ({"number"}, "double"),
        ({"boolean"}, "boolean"),
        ({"bytes"}, "bytes"),
        ({"bytes", "integer", "string"}, ["string", "long", "bytes"]),
    ],
)
def test_types_of_changes(types, avro):
    enum = {"type": "enum", "name": "E", "symbols": ["A"]}
    for schema in (
        "int",
        enum,
        {"type": "int", "logicalType": "date"},
        {"type": "array", "items": "int"},
        record(name="X"),
    ):
        assert of(schema, Change(frozenset(types))) == avro
        members = avro if isinstance(avro, list) else [avro]
        assert of(["null", schema], Change(frozenset(types))) == ["null", *members]
        assert of([schema, "null"], Change(frozenset(types))) == [*members, "null"]
        assert of(schema, Change(frozenset(types), nulls=True)) == [*members, "null"]
        assert of(["null", schema], Change(frozenset(types), nulls=True)) == ["null", *members]


def test_what_disappears_and_what_becomes_null():
    assert field("int", a=GONE) is None
    assert of("int", NULL) == of(["null", "int"], NULL) == "null"
    made = derived(
        record(("a", "int"), ("b", record(("c", "int"), ("d", "string"), name="B"))), a=GONE, b__c=GONE
    )
    assert [each["name"] for each in made["fields"]] == ["b"]
    assert [each["name"] for each in made["fields"][0]["type"]["fields"]] == ["d"]
    # Items that disappear leave arrays of whatever it was.
    assert derived(record(("a", {"type": "array", "items": "int"}), ("b", "int")), a_each=GONE, b=TEXT)[
        "fields"
    ] == [
        {"name": "a", "type": {"type": "array", "items": "int"}},
        {"name": "b", "type": "string"},
    ]
    with pytest.raises(ConfigError, match="whole value"):
        AvroForm("string").changed({parse_path("a"): GONE, Path(()): GONE})


def test_a_schema_that_nothing_changes_in_is_the_same_form():
    schema = record(
        {
            "name": "a",
            "type": {"type": "string", "avro.java.string": "String"},
            "default": "x",
            "aliases": ["z"],
        },
        ("b", {"type": "int", "logicalType": "date"}),
        {"name": "c", "type": ["string", "null"], "default": "", "confluent:tags": ["PII"]},
        name="com.a.R",
        doc="d",
    )
    form = AvroForm(schema)
    keeps = {parse_path(path): KEPT for path in ("a", "b", "c")}
    assert form.changed({}) is form.changed(keeps) is form.changed({parse_path("nowhere.x"): TEXT}) is form
    assert form.changed({parse_path("a"): TEXT}) is form
    assert form.changed({parse_path("c"): TEXT}) is not form  # its tag goes
    assert form.changed({parse_path("c"): Change(frozenset({"string"}), nulls=True, keeps=True)}) is form
    nulls = form.changed({parse_path("b"): Change(frozenset({"string"}), nulls=True, keeps=True)})
    assert json.loads(nulls.text)["fields"][1]["type"] == [{"type": "int", "logicalType": "date"}, "null"]


def test_what_else_is_said_of_a_field_stays():
    schema = {
        "name": "a",
        "type": ["null", {"type": "string", "logicalType": "uuid", "avro.java.string": "String"}],
        "doc": "d",
        "aliases": ["b"],
        "order": "ignore",
        "default": None,
        "custom": 5,
        "x-streamguard": "PII",
    }
    kept = {name: value for name, value in schema.items() if name not in ("type", "x-streamguard")}
    assert field(schema, a=TEXT) == {**kept, "type": ["null", "string"]}
    java = {"type": "string", "avro.java.string": "String"}
    assert of({**java, "confluent:tags": ["PII"]}, TEXT) == java
    assert of({"type": "string", "confluent:tags": ["PII"]}, TEXT) == "string"
    assert of(["null", java, "int"], TEXT) == ["null", java]


@pytest.mark.parametrize(
    ("schema", "default", "change", "stays"),
    [
        ("string", "EUR", TEXT, True),
        ("int", 5, TEXT, False),
        ("int", 5, Change(frozenset({"integer"})), True),
        ("int", 5, Change(frozenset({"number"})), True),
        (["null", "int"], None, TEXT, True),
        (["int", "null"], 5, TEXT, False),
        (["string", "null"], "x", TEXT, True),
        ("string", "x", Change(frozenset({"string"}), nulls=True), True),
        ("string", "x", NULL, False),
        (["null", "string"], None, NULL, True),
        ("boolean", True, Change(frozenset({"integer"})), False),
        ("bytes", "ÿ", Change(frozenset({"bytes"})), True),
        ("string", "€", Change(frozenset({"bytes"})), False),
        ("int", 5, Change(frozenset({"integer", "string"})), False),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "A", TEXT, True),
        ({"type": "array", "items": "int"}, [], TEXT, False),
    ],
)
def test_a_default_stays_where_it_is_valid(schema, default, change, stays):
    made = field({"name": "a", "type": schema, "default": default}, a=change)
    assert ("default" in made) is stays
    assert not stays or made["default"] == default


def test_defaults_of_what_encloses_a_change():
    inner = record(("b", "int"), {"name": "c", "type": "int", "default": 1}, name="B")
    schema = {"name": "a", "type": inner, "default": {"b": 1, "c": 2}}
    assert "default" not in field(schema, a__b=TEXT)
    assert "default" not in field(schema, a__b=GONE)
    assert field(schema, a__c=Change(frozenset({"number"})))["default"] == {"b": 1, "c": 2}
    items = {"name": "a", "type": {"type": "array", "items": "int"}, "default": [1]}
    assert "default" not in field(items, a_each=TEXT)
    assert field({**items, "default": []}, a_each=TEXT)["default"] == []
    entries = {"name": "a", "type": {"type": "map", "values": "string"}, "default": {"k": "v"}}
    assert field(entries, **{"a__*": Change(frozenset({"string", "bytes"}))})["default"] == {"k": "v"}
    untouched = {"name": "b", "type": ["string", "null"], "default": None}  # invalid, and not ours
    assert derived(record(("a", "int"), untouched), a=TEXT)["fields"][1] == untouched


def test_structures():
    item = record(("sku", "string"), ("price", "double"), name="Item")
    made = derived(
        record(
            ("items", ["null", {"type": "array", "items": item, "java-class": "List"}]),
            ("by", {"type": "map", "values": ["null", "int"]}),
            ("deep", {"type": "map", "values": {"type": "array", "items": "Item"}}),
        ),
        items_each__price=TEXT,
        **{"by__*": TEXT, "deep__*_each__price": TEXT},
    )
    item["fields"][1]["type"] = "string"
    assert made["fields"] == [
        {"name": "items", "type": ["null", {"type": "array", "items": item, "java-class": "List"}]},
        {"name": "by", "type": {"type": "map", "values": ["null", "string"]}},
        {"name": "deep", "type": {"type": "map", "values": {"type": "array", "items": "Item"}}},
    ]


def test_a_path_with_a_star_changes_every_field():
    made = derived(record(("a", record(("b", "int"), ("c", ["null", "int"]), name="A"))), **{"a__*": TEXT})
    assert [each["type"] for each in made["fields"][0]["type"]["fields"]] == ["string", ["null", "string"]]


ADDRESS = record(("street", "string"), ("number", "int"), name="Address", aliases=["Place"])


def test_a_type_changed_in_two_ways_becomes_two():
    schema = record(
        ("home", ADDRESS), ("work", ["null", "Address"]), ("shop", "Address"), name="com.a.Person"
    )
    made = derived(schema, home__number=TEXT, shop__number=TEXT)
    home, work, shop = (each["type"] for each in made["fields"])
    assert home == {**ADDRESS, "fields": [ADDRESS["fields"][0], {"name": "number", "type": "string"}]}
    second = {name: value for name, value in ADDRESS.items() if name != "aliases"}
    assert work == ["null", {**second, "name": "Address_2"}]
    assert shop == "Address"
    made = derived(schema, work__number=TEXT, shop__number=GONE)
    assert [
        each["type"] if isinstance(each["type"], dict) else each["type"][1] for each in made["fields"]
    ] == [
        ADDRESS,
        {
            **second,
            "name": "Address_2",
            "fields": [ADDRESS["fields"][0], {"name": "number", "type": "string"}],
        },
        {**second, "name": "Address_3", "fields": ADDRESS["fields"][:1]},
    ]


def test_new_names_are_free():
    schema = record(
        ("x", record(("number", "int"), name="Address_2")), ("home", ADDRESS), ("work", "Address")
    )
    made = derived(schema, work__number=TEXT)
    assert [each["type"]["name"] for each in made["fields"]] == ["Address_2", "Address", "Address_3"]


def test_definitions_move_to_where_they_are_needed():
    enum = {"type": "enum", "name": "Kind", "symbols": ["A"]}
    inner = record(("kind", enum), name="Inner", namespace="com.b")
    schema = record(("x", inner), ("y", "com.b.Kind"), ("z", "com.b.Kind"), name="Outer", namespace="com.a")
    made = derived(schema, x__kind=TEXT)
    assert made["fields"][1]["type"] == {**enum, "namespace": "com.b"}
    assert made["fields"][2]["type"] == "com.b.Kind"
    made = derived(schema, x=GONE)
    assert [each["type"] for each in made["fields"]] == [{**enum, "namespace": "com.b"}, "com.b.Kind"]


def test_types_without_a_namespace_have_no_name_inside_one():
    """``Kind`` inside ``com.a`` would be ``com.a.Kind``, which may be another type."""
    kind = {"type": "enum", "name": "Kind", "namespace": "", "symbols": ["A"]}
    inner = record(("number", "int"), ("kind", kind), name="Inner")
    other = {"type": "enum", "name": "Kind", "symbols": ["B"]}
    schema = record(
        ("x", inner), ("y", "Inner"), ("z", "Inner"), ("other", other), name="Outer", namespace="com.a"
    )
    made = derived(schema, x__number=TEXT, y__number=NULL)
    x, y, z, other_made = (each["type"] for each in made["fields"])
    assert [each["fields"][1]["type"]["name"] for each in (x, y, z)] == ["Kind", "Kind_2", "Kind_3"]
    assert all(each["fields"][1]["type"]["symbols"] == ["A"] for each in (x, y, z))
    assert other_made == other


def test_places_whose_values_no_transform_could_take_are_refused():
    """An `int` of a union could be the date or the time: what is made of it as a text is a guess."""
    schema = record(
        ("a", [{"type": "int", "logicalType": "date"}, {"type": "long", "logicalType": "timestamp-millis"}])
    )
    with pytest.raises(ConfigError, match="cannot be told apart"):
        AvroForm(schema).changed({parse_path("a"): TEXT})
    assert derived(schema, a=GONE)["fields"] == []
    schema = record(("a", ["string", {"type": "int", "logicalType": "date"}]))
    assert derived(schema, a=TEXT)["fields"][0]["type"] == "string"
    with pytest.raises(ConfigError, match="cannot be told apart"):
        AvroForm(schema).changed({parse_path("a"): KEPT})


def test_definitions_that_would_move_too_deep_are_refused():
    """Each stands flat in the schema, beside a text, until the places before the last are protected."""
    chain = [record(("a", "bytes"), name="N0")]
    chain += [record(("a", ["null", f"N{number}"]), name=f"N{number + 1}") for number in range(400)]
    form = AvroForm(record(*((f"f{number}", ["string", each]) for number, each in enumerate(chain))))
    assert form.changed({}) is form
    with pytest.raises(ConfigError, match="deeper"):
        form.changed({parse_path(f"f{number}"): TEXT for number in range(400)})
    with pytest.raises(ConfigError, match="deeper"):
        form.changed({parse_path("f400"): TEXT})


def test_types_of_other_schemas_are_written_into_it():
    references = {"com.b.Address": {**ADDRESS, "namespace": "com.b"}}
    schema = record(("home", "com.b.Address"), ("x", "int"), ("work", "com.b.Address"), name="com.a.Person")
    made = derived(schema, references, x=TEXT)
    assert made["fields"][0]["type"] == references["com.b.Address"]
    assert made["fields"][2]["type"] == "com.b.Address"


def test_recursion():
    schema = record(("name", "int"), ("next", ["null", "R"]), ("all", {"type": "array", "items": "R"}))
    made = derived(schema, name=TEXT, next=TEXT, all_each=TEXT)
    assert made["fields"] == [
        {"name": "name", "type": "string"},
        {"name": "next", "type": ["null", "string"]},
        {"name": "all", "type": {"type": "array", "items": "string"}},
    ]
    made = derived(schema, name=TEXT)
    second = made["fields"][1]["type"][1]
    assert second["name"] == "R_2"
    assert [each["type"] for each in second["fields"]] == [
        "int",
        ["null", "R_2"],
        {"type": "array", "items": "R_2"},
    ]
    assert made["fields"][2]["type"]["items"] == "R_2"


def test_tags_go_from_what_was_protected():
    card = record(("number", "int"), ("name", "string"), name="Card", **{"confluent:tags": ["PCI"]})
    schema = record(
        {"name": "card", "type": card, "x-streamguard": "PCI"},
        {
            "name": "ids",
            "type": {"type": "array", "items": {"type": "int", "x-streamguard": "PII"}},
            "confluent:tags": ["PII"],
        },
        {"name": "other", "type": "string", "confluent:tags": ["PII"]},
    )
    made = derived(schema, card__number=TEXT, card__name=TEXT, ids_each=TEXT)
    assert "PCI" not in json.dumps(made)
    assert [each.get("confluent:tags") for each in made["fields"]] == [None, None, ["PII"]]
    made = derived(schema, card__number=TEXT, card__name=KEPT)
    assert json.dumps(made).count("PCI") == 2  # one of its fields is as it was
    assert "x-streamguard" in made["fields"][1]["type"]["items"]
    assert "PCI" in json.dumps(derived(schema, card__number=TEXT))


@pytest.mark.parametrize("types", [{"object"}, {"array", "string"}])
def test_objects_and_arrays_can_only_be_kept(types):
    form = AvroForm(record(("a", {"type": "map", "values": "int"})))
    with pytest.raises(ConfigError, match="objects or arrays"):
        form.changed({parse_path("a"): Change(frozenset(types))})
    assert form.changed({parse_path("a"): Change(frozenset(types), keeps=True)}) is form


def test_items_that_are_left_with_nothing_take_a_byte():
    item = record(("b", "int"), name="B")
    form = AvroForm(record(("a", {"type": "array", "items": item}), ("c", {"type": "array", "items": "B"})))
    clean = form.changed({parse_path("a[*]"): NULL, parse_path("c[*].b"): GONE})
    assert [each["type"]["items"] for each in json.loads(clean.text)["fields"]] == [
        ["null"],
        [{**item, "fields": []}],
    ]
    document = {"a": [None, None], "c": [{}]}
    assert (
        clean.decode(clean.encode(document))
        == readback(json.loads(clean.text), clean.encode(document))
        == document
    )
    assert derived(record(("a", {"type": "array", "items": item})), a_each__b=NULL)["fields"][0]["type"][
        "items"
    ] == [{**item, "fields": [{"name": "b", "type": "null"}]}]


def test_the_derived_order_is_read_by_others():
    form = AvroForm(ORDER)
    clean = form.changed(
        {
            parse_path(path): change
            for path, change in {
                "customer.birth_date": TEXT,
                "customer.email": TEXT,
                "customer.ssn": GONE,
                "items[*].qty": Change(frozenset({"integer"}), nulls=True),
                "type": TEXT,
            }.items()
        }
    )
    document = {
        "event_id": "33406bc4-4dc2-a627-940e-ee3cba6f875c",
        "ts": 1,
        "type": "sg1.x",
        "customer": {"id": "C1", "name": None, "email": "sg1.y", "phone": None, "birth_date": "sg1.z"},
        "payment": {"card_number": None, "amount": 1.5, "currency": "EUR"},
        "items": [{"sku": "s", "qty": None, "price": 1.0}, {"sku": "t", "qty": 2**40, "price": 1.0}],
        "ip": None,
        "note": None,
    }
    data = clean.encode(document)
    schema = json.loads(clean.text)
    assert data == written(_plain(schema), document)
    assert readback(_plain(schema), data) == clean.decode(data) == document
    assert AvroForm(schema).leaves == clean.leaves
    # A reader that knows the clean schema only, with logical types.
    assert fastavro.schemaless_reader(BytesIO(data), schema, None)["ts"].year == 1970


def _plain(node):
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if isinstance(node, dict):
        return {name: _plain(value) for name, value in node.items() if name != "logicalType"}
    return node


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(cases(), st.data())
def test_any_change_of_any_schema_is_written_and_read(case, data):
    form = AvroForm(case.schema)
    leaves = [leaf for leaf in form.leaves if leaf.path.segments]
    chosen = [leaf for leaf in leaves if data.draw(st.booleans())]
    clean = form.changed({leaf.path: TEXT for leaf in chosen})
    document = form.decode(written(case.schema, case.told))
    for leaf in chosen:
        _replace(document, leaf.path.segments)
    encoded = clean.encode(document)
    assert repr(clean.decode(encoded)) == repr(document)
    schema = json.loads(clean.text)
    assert repr(readback(schema, encoded)) == repr(document)
    assert [leaf.path for leaf in clean.leaves] == [leaf.path for leaf in form.leaves]
    assert all(
        set(leaf.types) == {"string"} for leaf in clean.leaves if leaf.path in {each.path for each in chosen}
    )


def _replace(node, segments):
    """Put a text in the place of every value at a path that is not null."""
    step, *rest = segments
    if isinstance(node, dict):
        keys = list(node) if not isinstance(step, str) else [step] if step in node else []
    else:
        keys = range(len(node)) if isinstance(node, list) else []
    for key in keys:
        if rest:
            _replace(node[key], rest)
        elif node[key] is not None:
            node[key] = "token"
