"""The member of a union that was read is the one that is written, also in derived schemas."""

import pytest

from streamguard.errors import ConfigError
from streamguard.formats.avro import AvroForm
from streamguard.formats.base import Change
from streamguard.policy.paths import Path, parse_path
from tests.unit.formats.avro_cases import readback, record, written

TEXT = Change(frozenset({"string"}))
GONE = Change(frozenset())


def changes(**by_path):
    return {parse_path(path.replace("__", ".")): change for path, change in by_path.items()}


CLICK = record(("user", "string"), ("at", "long"), name="Click")
VIEW = record(("user", "string"), ("at", "long"), name="View")
BUY = record(("user", "string"), ("at", "long"), ("price", "double"), name="Buy")
EVENTS = record(
    ("event", ["null", CLICK, VIEW, BUY]), ("more", {"type": "array", "items": ["View", "Click"]})
)
SAME = {"user": "ana", "at": 1}


def test_records_with_the_same_fields_stay_what_they_were():
    form = AvroForm(EVENTS)
    for event in (("Click", SAME), ("View", SAME), ("Buy", {**SAME, "price": 1.5}), ("null", None)):
        data = written(EVENTS, {"event": event, "more": [("Click", SAME), ("View", SAME), ("Click", SAME)]})
        document = form.decode(data)
        assert document["event"] == event[1]
        assert form.encode(document) == data
        if event[1]:
            document["event"]["user"] = "x" * 3
            document["event"] |= {"at": 2}
            assert form.decode(form.encode(document))["event"] == {**event[1], "user": "xxx", "at": 2}


def test_records_stay_what_they_were_when_the_schema_changes():
    form = AvroForm(EVENTS)
    clean = form.changed(
        changes(event__user=TEXT, event__at=TEXT, event__price=GONE) | {parse_path("more[*].user"): GONE}
    )
    again = clean.changed(changes(event__user=GONE))
    for place, name in enumerate(("Click", "View", "Buy"), start=1):
        event = {**SAME, "price": 1.5} if name == "Buy" else SAME
        document = form.decode(
            written(EVENTS, {"event": (name, event), "more": [("View", SAME), ("Click", SAME)]})
        )
        document["event"]["at"] = "later"
        document["event"].pop("price", None)
        for item in document["more"]:
            del item["user"]
        data = clean.encode(document)
        assert data[0] == 2 * place
        assert data[-6:] == b"\x04\x00\x02\x02\x02\x00"
        read = clean.decode(data)
        assert read == document
        assert readback(_schema(clean), data) == document
        del read["event"]["user"]
        assert again.encode(read)[0] == 2 * place


def _schema(form):
    import json

    return json.loads(form.text)


def test_records_of_unknown_origin_are_told_by_their_names_or_not_at_all():
    form = AvroForm(EVENTS)
    assert form.encode({"event": {"user": "ana", "at": 1, "price": 2.0}, "more": []})[0] == 6
    for event in (dict(SAME), {}, {"user": "ana"}, {"user": "ana", "at": 1, "price": 1.0, "x": 1}):
        with pytest.raises(ValueError, match="does not fit"):
            form.encode({"event": event, "more": []})
    assert AvroForm(["null", CLICK]).encode(dict(SAME)) == written(["null", CLICK], SAME)


def test_names_of_one_letter_tell_nothing_so_their_set_has_to():
    points = [record(("x", "int"), ("y", "int"), name="Point"), record(("x", "int"), name="Mark")]
    form = AvroForm(points)
    assert form.encode({"x": 1}) == b"\x02\x02"
    assert form.encode(form.decode(b"\x00\x02\x04")) == b"\x00\x02\x04"
    assert form.changed({}) is form
    with pytest.raises(ConfigError, match="union of Point and Mark"):
        form.changed({parse_path("y"): GONE})


def test_records_that_lose_all_their_fields():
    one = AvroForm(EVENTS).changed(changes(event__price=GONE))
    assert one.is_closed
    form = AvroForm([record(("aa", "int"), name="A"), record(("bb", "int"), name="B")])
    assert form.changed({parse_path("aa"): GONE}).encode({}) == b"\x00"
    with pytest.raises(ConfigError, match="union of A and B"):
        form.changed({parse_path("aa"): GONE, parse_path("bb"): GONE})


def test_enums_are_told_by_their_symbols_and_fixed_types_by_their_size():
    enums = [{"type": "enum", "name": name, "symbols": list(name)} for name in ("AB", "CD")]
    fixed = [{"type": "fixed", "name": f"F{size}", "size": size} for size in (2, 3)]
    form = AvroForm(["null", *enums, *fixed])
    for data in (b"\x02\x00", b"\x02\x02", b"\x04\x02", b"\x06ab", b"\x08abc", b"\x00"):
        assert form.encode(form.decode(data)) == data
    assert form.changed({}) is form
    for wrong in ("E", b"a", 1):
        with pytest.raises(ValueError, match="does not fit"):
            form.encode(wrong)


@pytest.mark.parametrize(
    ("members", "documents"),
    [
        (["int", "long"], [1]),
        (["float", "double"], [0.5]),
        (["string", {"type": "enum", "name": "E", "symbols": ["A"]}], ["A"]),
        (["bytes", {"type": "fixed", "name": "F", "size": 1}], [b"a"]),
        ([{"type": "enum", "name": name, "symbols": ["A", name]} for name in ("E", "F")], ["A"]),
        ([{"type": "fixed", "name": name, "size": 1} for name in ("E", "F")], [b"a"]),
        ([{"type": "map", "values": "int"}, record(("a", "int"), name="A")], [{"a": 1}]),
        ([record(name="A"), record(name="B")], [{}]),
    ],
)
def test_members_that_cannot_be_told_apart_are_read_and_have_to_be_protected(members, documents):
    schema = record(("a", ["null", *members]), ("b", "int"))
    form = AvroForm(schema)
    for document in documents:
        told = (
            members[1] if isinstance(members[1], str) else members[1].get("name", members[1]["type"]),
            document,
        )
        data = written(schema, {"a": told, "b": 5})
        assert form.decode(data) == {"a": document, "b": 5}
        with pytest.raises(ValueError, match="does not fit"):
            form.encode({"a": document, "b": 5})
    assert form.encode({"a": None, "b": 5}) == b"\x00\x0a"
    with pytest.raises(ConfigError, match="has a union of"):
        form.changed({})
    with pytest.raises(ConfigError, match="has a union of"):
        form.changed({parse_path("b"): TEXT})
    assert form.changed({parse_path("a"): TEXT}).encode({"a": "t", "b": 5}) == b"\x02\x02t\x0a"
    assert form.changed({parse_path("a"): GONE}).encode({"b": 5}) == b"\x0a"


def test_mixed_scalars():
    schema = ["string", "long", "double", "boolean", "bytes", "null", {"type": "array", "items": "int"}]
    form = AvroForm(schema)
    values = [
        ("string", "é"),
        ("long", 1),
        ("double", 1.0),
        ("boolean", True),
        ("bytes", b"b"),
        ("null", None),
        ("array", [1]),
    ]
    for told in values:
        data = written(schema, told)
        assert form.decode(data) == told[1]
        assert form.encode(form.decode(data)) == data
    assert form.leaves[0].path == Path(())
