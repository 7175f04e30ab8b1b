"""Values as transforms take them, and back."""

import math
import uuid
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.errors import ConfigError
from streamguard.formats.avro import AvroForm
from streamguard.policy.paths import Path, parse_path
from tests.unit.formats.avro_cases import ORDER, record

WHOLE = Path(())


def both(schema, path=WHOLE):
    form = AvroForm(schema)
    return form.lift(path), form.lower(path)


def logical(kind, name, /, **more):
    return {"type": kind, "logicalType": name, **more}


DECIMAL = logical("bytes", "decimal", precision=9, scale=2)
DECIMAL_4 = logical("fixed", "decimal", name="F", size=4, precision=9, scale=2)

TABLE = [
    (logical("int", "date"), 0, "1970-01-01"),
    (logical("int", "date"), -1, "1969-12-31"),
    (logical("int", "date"), -719162, "0001-01-01"),
    (logical("int", "date"), 2932896, "9999-12-31"),
    (logical("int", "time-millis"), 0, "00:00:00.000"),
    (logical("int", "time-millis"), 86_399_999, "23:59:59.999"),
    (logical("long", "time-micros"), 3_723_000_004, "01:02:03.000004"),
    (logical("long", "timestamp-millis"), 1_763_700_000_123, "2025-11-21T04:40:00.123Z"),
    (logical("long", "timestamp-millis"), -1, "1969-12-31T23:59:59.999Z"),
    (logical("long", "timestamp-millis"), -62_135_596_800_000, "0001-01-01T00:00:00.000Z"),
    (logical("long", "timestamp-millis"), 253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    (logical("long", "timestamp-micros"), 253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
    (logical("long", "timestamp-nanos"), 2**63 - 1, "2262-04-11T23:47:16.854775807Z"),
    (logical("long", "timestamp-nanos"), -(2**63), "1677-09-21T00:12:43.145224192Z"),
    (logical("long", "local-timestamp-millis"), 1, "1970-01-01T00:00:00.001"),
    (logical("long", "local-timestamp-micros"), 1, "1970-01-01T00:00:00.000001"),
    (logical("long", "local-timestamp-nanos"), 1, "1970-01-01T00:00:00.000000001"),
    (DECIMAL, b"\x00", "0.00"),
    (DECIMAL, b"\x01", "0.01"),
    (DECIMAL, b"\xff", "-0.01"),
    (DECIMAL, b"\x00\xff", "2.55"),
    (DECIMAL, b"\xff\x00", "-2.56"),
    (DECIMAL, (999_999_999).to_bytes(4, "big"), "9999999.99"),
    (DECIMAL_4, b"\xff\xff\xff\x85", "-1.23"),
    (logical("bytes", "decimal", precision=3), b"\x7b", "123"),
    (logical("fixed", "uuid", name="U", size=16), bytes(range(16)), "00010203-0405-0607-0809-0a0b0c0d0e0f"),
]


@pytest.mark.parametrize(("schema", "value", "text"), TABLE)
def test_every_logical_type_becomes_a_text_and_itself_again(schema, value, text):
    lift, lower = both(schema)
    assert lift([value, value]) == [text, text]
    assert lower([text]) == [value]
    lift, lower = both(record(("a", ["null", schema])), parse_path("a"))
    assert (lift([value]), lower([text])) == ([text], [value])


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (logical("int", "date"), -719163),
        (logical("int", "date"), 2932897),
        (logical("int", "date"), 2**31 - 1),
        (logical("int", "date"), True),
        (logical("int", "date"), "1970-01-01"),
        (logical("int", "time-millis"), -1),
        (logical("int", "time-millis"), 86_400_000),
        (logical("long", "timestamp-millis"), 253_402_300_800_000),
        (logical("long", "timestamp-millis"), -(2**63)),
        (logical("long", "timestamp-micros"), 2**63 - 1),
        (DECIMAL, b""),
        (DECIMAL, b"\x7f" * 5000),
        (logical("fixed", "uuid", name="U", size=16), b"short"),
    ],
)
def test_what_has_no_text(schema, value):
    lift, _ = both(schema)
    with pytest.raises(ValueError, match=r"^a value that its Avro type has no counterpart for$"):
        lift([value])


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (logical("int", "date"), "0000-01-01"),
        (logical("int", "date"), "2023-02-29"),
        (logical("int", "date"), "20230101"),
        (logical("int", "date"), "2023-W01-1"),
        (logical("int", "date"), "٢٠٢٣-01-01"),
        (logical("int", "date"), "2023-01-01\n"),
        (logical("int", "date"), 5),
        (logical("int", "date"), None),
        (logical("int", "time-millis"), "24:00:00"),
        (logical("int", "time-millis"), "23:60:00"),
        (logical("int", "time-millis"), "23:00:60"),
        (logical("int", "time-millis"), "23:00"),
        (logical("int", "time-millis"), "23:00:00.0001"),
        (logical("int", "time-millis"), "23:00:00."),
        (logical("long", "timestamp-millis"), "2023-01-01"),
        (logical("long", "timestamp-millis"), "2023-01-01T00:00:00"),
        (logical("long", "timestamp-millis"), "2023-01-01 00:00:00Z"),
        (logical("long", "timestamp-millis"), "2023-01-01T00:00:00+0100"),
        (logical("long", "timestamp-millis"), "2023-01-01T00:00:00+24:00"),
        (logical("long", "timestamp-millis"), "2023-01-01T00:00:00.1234Z"),
        (logical("long", "timestamp-nanos"), "2263-01-01T00:00:00Z"),
        (logical("long", "local-timestamp-millis"), "2023-01-01T00:00:00Z"),
        (DECIMAL, "1.234"),
        (DECIMAL, "10000000.00"),
        (DECIMAL, "1e3"),
        (DECIMAL, ".5"),
        (DECIMAL, "NaN"),
        (DECIMAL, "+1"),
        (DECIMAL, ""),
        (logical("fixed", "uuid", name="U", size=16), "0001020304050607-0809-0a0b0c0d0e0f"),
        (logical("fixed", "uuid", name="U", size=16), bytes(16)),
    ],
)
def test_what_no_value_stands_for(schema, text):
    _, lower = both(schema)
    with pytest.raises(ValueError, match=r"^a value that its Avro type has no counterpart for$") as caught:
        lower([text])
    assert caught.value.__suppress_context__


def test_texts_may_be_shorter_where_nothing_is_lost():
    _, lower = both(logical("long", "timestamp-millis"))
    same = [
        "1970-01-01T00:00:01Z",
        "1970-01-01T00:00:01.0Z",
        "1970-01-01T00:00:01.000000Z",
        "1970-01-01T01:00:01+01:00",
    ]
    assert lower([*same, "1969-12-31T14:30:01-09:30"]) == [1000] * 5
    _, lower = both(DECIMAL)
    assert lower(["1", "1.5", "01.500", "-0.00"]) == [b"\x64", b"\x00\x96", b"\x00\x96", b"\x00"]


@given(st.datetimes())
def test_timestamps_are_those_of_the_standard_library(moment):
    lift, lower = both(logical("long", "timestamp-micros"))
    micros = (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # noqa: DTZ001
    text = moment.replace(tzinfo=timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")  # noqa: UP017
    assert lift([micros]) == [text.rjust(27, "0")]
    assert lower(lift([micros])) == [micros]


@given(st.dates(), st.times())
def test_dates_and_times_are_those_of_the_standard_library(day, clock):
    lift, lower = both(logical("int", "date"))
    days = (day - date(1970, 1, 1)).days
    assert (lift([days]), lower([day.isoformat()])) == ([day.isoformat()], [days])
    lift, lower = both(logical("long", "time-micros"))
    clock = time(clock.hour, clock.minute, clock.second, clock.microsecond)
    micros = ((clock.hour * 60 + clock.minute) * 60 + clock.second) * 10**6 + clock.microsecond
    assert lift([micros]) == [clock.isoformat(timespec="microseconds")]
    assert lower(lift([micros])) == [micros]


@given(st.integers(-(10**30) + 1, 10**30 - 1), st.integers(0, 30))
def test_decimals_are_exact(number, scale):
    lift, lower = both(logical("bytes", "decimal", precision=30, scale=scale))
    data = number.to_bytes((number if number >= 0 else ~number).bit_length() // 8 + 1, "big", signed=True)
    [text] = lift([data])
    digits = tuple(map(int, str(abs(number))))
    assert text == f"{Decimal((int(number < 0), digits, -scale)):f}"
    assert lower([text]) == [data]


@given(st.uuids())
def test_uuids(value):
    lift, lower = both(logical("fixed", "uuid", name="U", size=16))
    assert lift([value.bytes]) == [str(value)]
    assert lower([str(value), str(value).upper()]) == [value.bytes, value.bytes]
    assert uuid.UUID(lift([value.bytes])[0]) == value


@pytest.mark.parametrize(
    "schema",
    [
        *("boolean", "int", "long", "float", "double", "string", "bytes"),
        {"type": "fixed", "name": "F", "size": 12, "logicalType": "duration"},
        {"type": "enum", "name": "E", "symbols": ["A"]},
        {"type": "string", "logicalType": "uuid"},
        record(("a", "string"), ("b", {"type": "map", "values": "long"})),
    ],
)
def test_what_transforms_take_as_it_is(schema):
    assert both(schema) == (None, None)
    assert both(record(("x", schema), name="X"), parse_path("nowhere")) == (None, None)


def test_members_of_a_union_are_told_by_their_values():
    form = AvroForm(["null", logical("int", "date"), "string", "double", DECIMAL])
    assert form.lift(WHOLE)([0, "text", 1.5, b"\x01", 1]) == ["1970-01-01", "text", 1.5, "0.01", "1970-01-02"]
    with pytest.raises(ConfigError, match="cannot be told apart"):
        form.lower(WHOLE)
    form = AvroForm(["null", logical("int", "date"), "double", "boolean"])
    assert form.lower(WHOLE)(["1970-01-02", 1.5, True]) == [1, 1.5, True]
    with pytest.raises(ConfigError, match="int and long"):
        AvroForm([logical("int", "date"), "long"]).lift(WHOLE)


def test_fixed_types_of_a_union_are_told_by_their_size():
    uuid = {"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}
    span = {"type": "fixed", "name": "D", "size": 12, "logicalType": "duration"}
    form = AvroForm(record(("a", ["null", uuid, span])))
    assert form.changed({}) is form  # so it may be kept, and has to be shown
    assert form.plain({"a": bytes(16)}) == {"a": "00000000-0000-0000-0000-000000000000"}
    assert form.plain({"a": bytes(12)}) == {"a": "AAAAAAAAAAAAAAAA"}
    assert form.lift(parse_path("a"))([bytes(12)]) == [bytes(12)]
    with pytest.raises(ValueError, match="no counterpart"):
        form.plain({"a": bytes(13)})


INNER = record(
    ("data", ["null", "bytes"]),
    ("ratio", "double"),
    ("at", ["null", logical("int", "date")]),
    ("name", "string"),
    name="Inner",
)


def test_whole_subtrees_become_plain_json():
    form = AvroForm(
        record(
            ("all", {"type": "array", "items": ["null", INNER]}), ("by", {"type": "map", "values": DECIMAL})
        )
    )
    items = [
        {"data": b"\xff\x00", "ratio": math.inf, "at": 0, "name": "n"},
        {"data": None, "ratio": 0.5, "at": None, "name": "m"},
        None,
    ]
    plain = [
        {"data": "/wA=", "ratio": "Infinity", "at": "1970-01-01", "name": "n"},
        {"data": None, "ratio": 0.5, "at": None, "name": "m"},
        None,
    ]
    assert form.lift(parse_path("all"))([items]) == [plain]
    assert form.lower(parse_path("all"))([plain]) == [items]
    assert items[0]["data"] == b"\xff\x00"  # as it was
    assert form.lift(parse_path("by"))([{"a": b"\x05"}]) == [{"a": "0.05"}]
    assert form.lift(parse_path(r"by.a"))([b"\x05"]) == form.lift(parse_path("by.*"))([b"\x05"]) == ["0.05"]
    assert form.lift(parse_path("all[*].data")) is None
    lift, lower = form.lift(parse_path("all[*]")), form.lower(parse_path("all[*]"))
    [nan] = lower(lift([{**items[0], "ratio": math.nan}]))
    assert math.isnan(nan["ratio"])
    for wrong in (
        {},
        {**plain[0], "more": 1},
        {**plain[0], "data": "/wB="},
        {**plain[0], "ratio": "nan"},
        [],
        "x",
        None,
    ):
        with pytest.raises(ValueError, match="no counterpart"):
            lower([wrong])


def test_whole_values_that_hold_themselves():
    form = AvroForm(record(("data", "bytes"), ("next", ["null", "R"])))
    document = {"data": b"a", "next": {"data": b"b", "next": None}}
    plain = {"data": "YQ==", "next": {"data": "Yg==", "next": None}}
    assert form.lift(WHOLE)([document]) == [plain]
    assert form.lower(WHOLE)([plain]) == [document]
    assert form.lift(parse_path("next"))([document["next"]]) == [plain["next"]]
    deep = None
    for _ in range(200):
        deep = {"data": b"", "next": deep}
    assert form.lower(WHOLE)(form.lift(WHOLE)([deep])) == [deep]


def test_the_order_as_a_whole():
    form = AvroForm(ORDER)
    customer = {"id": "C1", "name": None, "email": "a@b", "phone": None, "ssn": None, "birth_date": 5154}
    lifted = form.lift(parse_path("customer"))([customer])
    assert lifted == [{**customer, "birth_date": "1984-02-11"}]
    assert form.lower(parse_path("customer"))(lifted) == [customer]
