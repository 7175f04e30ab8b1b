"""Frames of the Schema Registry's wire format, held against Confluent's own code for them."""

from uuid import UUID

import pytest
from confluent_kafka.schema_registry import (
    dual_schema_id_deserializer,
    header_schema_id_serializer,
    prefix_schema_id_deserializer,
    prefix_schema_id_serializer,
)
from confluent_kafka.schema_registry.serde import SchemaId
from confluent_kafka.serialization import MessageField, SerializationContext
from hypothesis import example, given
from hypothesis import strategies as st

from streamguard.formats.framing import (
    FIRST_MESSAGE,
    KEY_HEADER,
    VALUE_HEADER,
    Fault,
    Frame,
    header,
    prefix,
    read,
    read_prefix,
)

GUID = UUID("6d1b2c3e-89ab-4cde-8f01-23456789abcd")
IDS = st.integers(0, 2**32 - 1)
MESSAGES = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=100).map(tuple)
PAYLOADS = st.binary(max_size=40)


def confluents(frame: Frame) -> SchemaId:
    kind = "PROTOBUF" if frame.message else "AVRO"
    indexes = list(frame.message) if frame.message else None
    if isinstance(frame.schema, UUID):
        return SchemaId(kind, guid=str(frame.schema), message_indexes=indexes)
    return SchemaId(kind, frame.schema, message_indexes=indexes)


def in_front(value: bytes, *, message: bool = False) -> tuple[Frame | Fault, bytes]:
    (frame,), (payload,) = read_prefix([value], message=message)
    return frame, payload


def in_header(value: bytes | None, *, message: bool = False) -> Frame | Fault:
    (frame,), (payload,) = read([b"document"], [[(VALUE_HEADER, value)]], VALUE_HEADER, message=message)
    assert payload == b"document"
    return frame


# -- both ways, as Confluent does it ---------------------------------------------------------------------------------


@given(IDS, st.none() | MESSAGES, PAYLOADS)
def test_what_stands_in_front(schema: int, message: tuple[int, ...] | None, payload: bytes):
    frame = Frame(schema, message)
    value = prefix_schema_id_serializer(payload, None, confluents(frame))
    assert prefix(schema, message) + payload == value
    assert in_front(value, message=message is not None) == (frame, payload)


@given(IDS | st.uuids(), st.none() | MESSAGES)
def test_what_a_header_holds(schema: int | UUID, message: tuple[int, ...] | None):
    frame = Frame(schema, message)
    written = header(schema, message)
    if isinstance(schema, UUID):
        context = SerializationContext("topic", MessageField.VALUE, [])
        header_schema_id_serializer(b"document", context, confluents(frame))
        assert context.headers == [(VALUE_HEADER, written)]
    read_by_confluent = SchemaId("PROTOBUF" if message else "AVRO")
    context = SerializationContext("topic", MessageField.VALUE, [(VALUE_HEADER, written)])
    assert dual_schema_id_deserializer(b"document", context, read_by_confluent).read() == b"document"
    assert schema in (read_by_confluent.id, read_by_confluent.guid)
    assert read_by_confluent.message_indexes == (list(message) if message else None)
    assert in_header(written, message=message is not None) == frame


@given(st.binary(max_size=60) | st.binary(max_size=60).map(prefix(1).__add__), st.booleans())
@example(b"\0\0\0\0\1\x02\x80\x80\x80\x80\x10rest", True)
@example(b"\0\0\0\0\1\x01rest", True)
def test_what_is_read_at_all_confluent_reads_alike(value: bytes, message: bool):
    frame, payload = in_front(value, message=message)
    if isinstance(frame, Fault):
        assert payload == value
        return
    read_by_confluent = SchemaId("PROTOBUF" if message else "AVRO")
    rest = prefix_schema_id_deserializer(value, None, read_by_confluent)
    assert (read_by_confluent.id, rest.read()) == (frame.schema, payload)
    assert read_by_confluent.message_indexes == (list(frame.message) if frame.message else None)


# -- columns ---------------------------------------------------------------------------------------------------------

VALUES = st.one_of(
    st.builds(lambda schema, rest: prefix(schema) + rest, st.integers(1, 3), PAYLOADS),
    st.builds(
        lambda schema, message, rest: prefix(schema, message) + rest,
        st.integers(1, 3),
        st.sampled_from([FIRST_MESSAGE, (1,), (1, 0), (300, 2)]),
        PAYLOADS,
    ),
    st.binary(max_size=12),
)


@given(st.lists(VALUES, max_size=20), st.booleans())
def test_a_column_is_its_values(values: list[bytes], message: bool):
    frames, payloads = read_prefix(values, message=message)
    assert list(zip(frames, payloads, strict=True)) == [in_front(value, message=message) for value in values]


@pytest.mark.parametrize("message", [None, FIRST_MESSAGE, (1,), (2, 7)])
def test_one_schema_for_all(message: tuple[int, ...] | None):
    values = [prefix(7, message) + bytes([row]) for row in range(256)]
    frames, payloads = read_prefix(values, message=message is not None)
    assert frames == [Frame(7, message)] * 256
    assert payloads == [bytes([row]) for row in range(256)]


def test_an_empty_column():
    assert read_prefix([]) == ([], [])
    assert read([], [], VALUE_HEADER) == ([], [])


def test_a_fault_is_its_rows_alone():
    values = [prefix(1) + b"a", b"", prefix(2) + b"b", b'{"plain": 1}', prefix(1)[:4]]
    assert read_prefix(values) == (
        [Frame(1), Fault.SHORT, Frame(2), Fault.MAGIC, Fault.SHORT],
        [b"a", b"", b"b", b'{"plain": 1}', prefix(1)[:4]],
    )


# -- what is no frame ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (b"", Fault.SHORT),
        (b"\0", Fault.SHORT),
        (b"\0\0\0\1", Fault.SHORT),
        (b"{", Fault.MAGIC),
        (b"\1" + GUID.bytes + b"x", Fault.MAGIC),  # nobody writes a GUID there
        (b"\xff\0\0\0\1x", Fault.MAGIC),
    ],
)
@pytest.mark.parametrize("message", [False, True])
def test_no_frame_in_front(value: bytes, fault: Fault, message: bool):
    assert in_front(value, message=message) == (fault, value)


@pytest.mark.parametrize(
    "indexes",
    [
        b"",  # nothing
        b"\x02",  # one index that is missing
        b"\x04\x02",  # two, of which one is missing
        b"\x80",  # cut off within a varint
        b"\x02\xff",
        b"\x01",  # -1 of them
        b"\x02\x01",  # the index -1
        b"\xca\x01" + bytes(200),  # 101 of them
        b"\x02" + b"\x80" * 5 + b"\0",  # more than 32 bits, by length
        b"\x02\xff\xff\xff\xff\x10",  # and by value
        b"\xff" * 40,
    ],
)
def test_no_message(indexes: bytes):
    assert in_front(prefix(1) + indexes, message=True) == (Fault.MESSAGE, prefix(1) + indexes)
    assert in_header(prefix(1) + indexes, message=True) is Fault.HEADER
    assert in_header(header(GUID) + indexes, message=True) is Fault.HEADER


def test_a_message_that_cannot_be_read_does_not_become_the_one_before():
    values = [prefix(1, (1,)) + b"a", prefix(1) + b"\x02", prefix(1, (1, 1)) + b"b", prefix(1, (1,)) + b"c"]
    frames, payloads = read_prefix(values, message=True)
    assert frames == [Frame(1, (1,)), Fault.MESSAGE, Frame(1, (1, 1)), Frame(1, (1,))]
    assert payloads == [b"a", values[1], b"b", b"c"]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\0",
        b"\1",
        b"\2\0\0\0\1",
        prefix(1)[:4],
        header(GUID)[:16],
        prefix(1) + b"x",
        header(GUID) + b"\0",
    ],
)
def test_no_frame_in_a_header(value: bytes):
    assert in_header(value) is Fault.HEADER


# -- headers and what stands in front ----------------------------------------------------------------------------------


def test_the_header_goes_before_what_stands_in_front():
    framed = prefix(1) + b"a"
    headers = [
        None,
        [],
        [("other", b"x")],
        [(KEY_HEADER, header(9))],
        [("other", b"x"), (VALUE_HEADER, header(2))],
        [(VALUE_HEADER, header(GUID))],
        [(VALUE_HEADER, None)],
    ]
    frames, payloads = read([framed] * len(headers), headers, VALUE_HEADER)
    assert frames == [Frame(1)] * 4 + [Frame(2), Frame(GUID), Frame(1)]
    assert payloads == [b"a"] * 4 + [framed] * 2 + [b"a"]


def test_two_headers_that_differ_are_none():
    twice = [(VALUE_HEADER, header(1)), (VALUE_HEADER, header(2))]
    same = [(VALUE_HEADER, header(1)), (VALUE_HEADER, header(1))]
    assert read([b"a", b"b"], [twice, same], VALUE_HEADER) == ([Fault.HEADER, Frame(1)], [b"a", b"b"])


def test_frames_are_keys_of_groups():
    groups = {Frame(1): "a", Frame(1, (0,)): "b", Frame(GUID): "c", Fault.MAGIC: "d"}
    assert groups[Frame(GUID)] == "c"
    assert len(groups) == 4


@pytest.mark.parametrize("schema", [-1, 2**32])
def test_an_id_that_does_not_fit_is_not_written(schema: int):
    with pytest.raises(OverflowError):
        prefix(schema)
