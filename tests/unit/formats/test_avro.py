"""Bytes of Avro: what is read, what is written, and what is refused."""

import json
import random
import struct
import time
from io import BytesIO

import avro.io
import avro.schema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamguard.formats.avro import AvroForm
from streamguard.formats.base import Change
from streamguard.policy.paths import Path
from tests.unit.formats.avro_cases import ORDER, cases, readback, record, written

slow = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

ORDER_DOCUMENT = {
    "event_id": "33406bc4-4dc2-a627-940e-ee3cba6f875c",
    "ts": 1763700000000,
    "type": "order_paid",
    "customer": {
        "id": "C97108520",
        "name": "Zoë Tanaka",
        "email": "zoe@example.com",
        "phone": None,
        "ssn": "875-43-9735",
        "birth_date": 5154,
    },
    "payment": {"card_number": "4111111111111111", "amount": 122.58, "currency": "EUR"},
    "items": [{"sku": "SKU-8164", "qty": 3, "price": 37.43}, {"sku": "SKU-1", "qty": 200, "price": 1.0}],
    "ip": None,
    "note": "x" * 3000,
}
LINKED = record(("value", "long"), ("next", ["null", "R"]))


def failure(form, data):
    with pytest.raises(form.failures) as caught:
        form.decode(data)
    assert str(caught.value) == ""
    return form.reason(data)


@slow
@given(cases())
def test_what_fastavro_writes_is_read_and_written_back_to_the_byte(case):
    form = AvroForm(case.schema)
    data = written(case.schema, case.told)
    document = form.decode(data)
    assert repr(document) == repr(case.plain) == repr(readback(case.schema, data))
    assert form.encode(document) == data


@slow
@given(cases(), st.binary(min_size=1, max_size=3))
def test_cut_or_prolonged_values_are_refused(case, more):
    form = AvroForm(case.schema)
    data = written(case.schema, case.told)
    for length in range(len(data)):
        assert failure(form, data[:length]) in ("syntax", "number", "depth")
    failure(form, data + more)


@slow
@given(cases(), st.randoms(use_true_random=False))
def test_damaged_values_are_refused_or_read_as_another_value(case, chance):
    form = AvroForm(case.schema)
    data = bytearray(written(case.schema, case.told))
    for _ in range(30):
        damaged = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            if damaged:
                damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        try:
            document = form.decode(bytes(damaged))
        except form.failures:
            continue
        assert repr(form.decode(form.encode(document))) == repr(document)


@slow
@given(cases(), st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(case, data):
    form = AvroForm(case.schema)
    try:
        document = form.decode(data)
    except form.failures:
        return
    assert repr(form.decode(form.encode(document))) == repr(document)


def test_the_avro_package_writes_and_reads_the_same():
    schema = avro.schema.parse(json.dumps(_without_logical_types(ORDER)))
    out = BytesIO()
    avro.io.DatumWriter(schema).write(ORDER_DOCUMENT, avro.io.BinaryEncoder(out))
    form = AvroForm(ORDER)
    assert form.decode(out.getvalue()) == ORDER_DOCUMENT
    assert form.encode(ORDER_DOCUMENT) == out.getvalue()


def _without_logical_types(node):
    if isinstance(node, list):
        return [_without_logical_types(each) for each in node]
    if isinstance(node, dict):
        return {name: _without_logical_types(value) for name, value in node.items() if name != "logicalType"}
    return node


def test_every_cut_of_the_order_is_refused_whatever_holds_the_bytes():
    form = AvroForm(ORDER)
    data = form.encode(ORDER_DOCUMENT)
    assert form.decode(memoryview(data)) == form.decode(bytearray(data)) == ORDER_DOCUMENT
    for length in range(len(data)):
        failure(form, data[:length])


@pytest.mark.parametrize(
    "number", [0, -1, 63, -64, 64, 8191, 8192, 2**31 - 1, -(2**31), 2**31, 2**62, 2**63 - 1, -(2**63)]
)
def test_whole_numbers_of_every_length(number):
    form = AvroForm("long")
    assert form.encode(number) == written("long", number)
    assert form.decode(form.encode(number)) == number
    fits = -(2**31) <= number < 2**31
    assert fits or failure(AvroForm("int"), form.encode(number)) == "number"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "syntax"),
        (b"\x80", "syntax"),
        (b"\x80\x00", "syntax"),  # zero, in more bytes than it needs
        (b"\xff" * 9 + b"\x02", "number"),  # 65 bits
        (b"\xff" * 10 + b"\x01", "number"),
        (b"\xff" * 1000, "number"),
    ],
)
def test_numbers_that_are_none(data, reason):
    assert failure(AvroForm("long"), data) == reason


@pytest.mark.parametrize("data", ["7fc00001", "7f800000", "ff800000", "ffc00000", "80000000", "00000001"])
def test_every_float_keeps_its_bits(data):
    form = AvroForm("float")
    little = bytes.fromhex(data)[::-1]
    assert form.encode(form.decode(little)) == little
    double = AvroForm("double")
    for bits in (0x7FF8000000000001, 0xFFF0000000000000, 0x8000000000000000, 1):
        assert double.encode(double.decode(struct.pack("<Q", bits))) == struct.pack("<Q", bits)


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        ("boolean", b"\x02"),
        ("string", b"\x01"),  # of length -1
        ("string", b"\x03a"),
        ("string", b"\x02\xff"),  # no UTF-8
        ("string", b"\x06\xed\xa0\x80"),  # a surrogate
        ("bytes", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"),  # of 2^63 - 1 bytes
        ("bytes", b"\x81\x01"),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, b"\x04"),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, b"\x01"),  # symbol -1
        (["null", "string"], b"\x01"),
        (["null", "string"], b"\x04"),
        ({"type": "map", "values": "int"}, b"\x04\x02a\x02\x02a\x04\x00"),  # one name twice
        ({"type": "array", "items": "int"}, b"\x01\x06\x02\x00"),  # a block of another size than it says
    ],
)
def test_what_is_no_value_of_the_schema(schema, data):
    assert failure(AvroForm(schema), data) == "syntax"


def test_blocks_are_read_as_one():
    items = AvroForm({"type": "array", "items": "string"})
    data = b"\x02\x02a" + b"\x03\x08\x02b\x02c" + b"\x00"
    assert items.decode(data) == ["a", "b", "c"]
    assert items.encode(["a", "b", "c"]) == b"\x06\x02a\x02b\x02c\x00"
    entries = AvroForm({"type": "map", "values": "boolean"})
    assert entries.decode(b"\x01\x06\x02a\x01\x02\x02b\x00\x00") == {"a": True, "b": False}


@pytest.mark.parametrize(
    "items",
    [
        "int",
        "double",
        "string",
        {"type": "fixed", "name": "F", "size": 3},
        ["null"],
        record(("a", "float")),
        LINKED,
    ],
)
@pytest.mark.parametrize("count", [2**61, -(2**63), 2**40])
def test_huge_counts_end_at_once(items, count):
    head = AvroForm("long").encode(count) + (b"\x7e" if count < 0 else b"")
    started = time.process_time()
    failure(AvroForm({"type": "array", "items": items}), head + b"\0" * 50)
    failure(AvroForm({"type": "map", "values": items}), head + b"\0" * 50)
    assert time.process_time() - started < 30


def test_depth_is_bounded():
    form = AvroForm(LINKED)

    def chain(length):
        return b"\x02\x02" * (length - 1) + b"\x02\x00"

    document = form.decode(chain(200))
    assert form.encode(document) == chain(200)
    assert failure(form, chain(201)) == "depth"
    assert failure(form, chain(1_000_000)) == "depth"
    for _ in range(60):
        document = {"value": 1, "next": document}
    with pytest.raises(ValueError, match="does not fit"):
        form.encode(document)


@pytest.mark.parametrize(
    "schema",
    [
        record(("all", {"type": "array", "items": "R"})),
        record(("all", {"type": "map", "values": "R"})),
        record(("a", record(("b", ["null", "R"]), name="Inner"))),
        record(
            (
                "a",
                {
                    "type": "array",
                    "items": {"type": "array", "items": {"type": "map", "values": ["R", "int"]}},
                },
            )
        ),
    ],
)
def test_depth_is_bounded_for_every_way_back(schema):
    form = AvroForm(schema)
    chance = random.Random(7)
    for _ in range(300):
        data = bytes(chance.choice(b"\x00\x02\x02\x02") for _ in range(2000))
        with pytest.raises(form.failures):
            form.decode(data)
    assert failure(form, b"\x02" * 100_000) in ("depth", "syntax")


@pytest.mark.parametrize(
    ("schema", "document"),
    [
        ("int", 2**31),
        ("int", True),
        ("int", 1.0),
        ("long", 2**63),
        ("long", -(2**63) - 1),
        ("long", "1"),
        ("double", True),
        ("double", "1.0"),
        ("double", 2**53 + 1),
        ("float", 1e300),
        ("boolean", 1),
        ("string", b"a"),
        ("string", 1),
        ("string", "\ud800"),
        ("bytes", "a"),
        ("null", 0),
        ({"type": "fixed", "name": "F", "size": 2}, b"abc"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "B"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, ["A"]),
        ({"type": "array", "items": "int"}, {"a": 1}),
        ({"type": "array", "items": "int"}, "12"),
        ({"type": "array", "items": "double"}, ["a"]),
        ({"type": "map", "values": "int"}, {1: 1}),
        ({"type": "map", "values": "int"}, [1]),
        (record(("a", "int")), {}),
        (record(("a", "int")), []),
        (record(("a", "int")), None),
        (record(), []),
        (["null", "string"], 1),
        (["string", "int"], None),
        (["string", "int"], 1.5),
        (["null"], 1),
    ],
)
def test_documents_that_do_not_fit_are_refused_in_our_words(schema, document):
    with pytest.raises(ValueError, match=r"^the document does not fit its Avro schema$") as caught:
        AvroForm(schema).encode(document)
    assert caught.value.__suppress_context__


def test_whole_numbers_stand_where_fractions_may():
    assert AvroForm("double").encode(3) == written("double", 3.0)


def test_long_texts_and_many_members():
    form = AvroForm(["null", "string", "bytes"])
    for length in (0, 63, 64, 1023, 1024, 8191, 8192, 100_000):
        for value in ("é" * length, b"\xff" * length):
            assert form.decode(form.encode(value)) == value
    many = [record(("field", "int"), name=f"R{number}") for number in range(70)]
    form = AvroForm(["null", *many])
    for number in (0, 1, 62, 63, 64, 69):
        data = AvroForm("long").encode(number + 1) + b"\x06"
        assert form.encode(form.decode(data)) == data
    symbols = [f"S{number}" for number in range(200)]
    enum = AvroForm({"type": "enum", "name": "E", "symbols": symbols})
    assert [enum.decode(enum.encode(symbol)) for symbol in symbols] == symbols
    assert failure(enum, b"\x90\x03") == failure(enum, b"\x01") == "syntax"


def test_deeply_nested_schemas_are_compiled():
    schema, document = "int", 5
    for number in range(30):
        schema = record(("a", ["null", {"type": "array", "items": schema}]), name=f"N{number}")
        document = {"a": [document, document]} if number < 4 else {"a": [document]}
    form = AvroForm(schema)
    data = written(schema, document)
    assert form.decode(data) == document
    assert form.encode(document) == data


def test_a_schema_as_deep_as_allowed():
    schema, document = {"type": "bytes", "logicalType": "decimal", "precision": 5}, b"\x05"
    for _ in range(100):
        schema, document = {"type": "array", "items": schema}, [document]
    form = AvroForm(schema)
    assert form.decode(form.encode(document)) == document
    [leaf] = form.leaves
    assert form.lift(leaf.path)([b"\x05"]) == ["5"]
    whole = Path(leaf.path.segments[:1])
    assert form.lower(whole)(form.lift(whole)(document)) == document
    assert form.changed({leaf.path: Change(frozenset({"string"}))}).leaves[0].format == ""


def test_a_schema_of_500_fields():
    kinds = [
        "int",
        "string",
        ["null", "double"],
        {"type": "array", "items": "long"},
        {"type": "map", "values": "bytes"},
    ]
    schema = record(*((f"field_{number}", kinds[number % 5]) for number in range(500)))
    form = AvroForm(schema)
    values = [[number, "text", 1.5, [1, 2], {"a": b"b"}][number % 5] for number in range(500)]
    document = {f"field_{number}": value for number, value in enumerate(values)}
    data = written(schema, document)
    assert form.decode(data) == document
    assert form.encode(document) == data
    assert len(form.leaves) == 500
