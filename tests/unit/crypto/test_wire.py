"""The token format: one encoding of values, one spelling of tokens."""

import json
import math
import string
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.crypto import wire
from streamguard.crypto.wire import (
    Token,
    decode_value,
    encode_column,
    encode_value,
    format_tokens,
    pad,
    parse_token,
)
from streamguard.errors import TokenError

# JSON as the guard lets it in: no NaN or infinity, integers of 64 bits, no lone surrogates.
texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | texts
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
values = documents | st.binary()
names = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=12)


def same(one, other):
    """Equal, and of equal types all the way down: True is not 1, and 1 is not 1.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)  # tells -0.0 from 0.0


def test_kinds_are_permanent():
    assert [(kind.id, kind.key_bytes) for kind in wire.KINDS] == [
        ("e", 32),
        ("d", 64),
        ("q", 32),
        ("s", 32),
    ]


def test_kind_ids_are_unique():
    assert len({kind.id for kind in wire.KINDS}) == len(wire.KINDS)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("12", b"s12"),
        (12, b"j12"),
        (12.0, b"j12.0"),
        ("", b"s"),
        ("é", b"s\xc3\xa9"),
        (True, b"jtrue"),
        (None, b"jnull"),
        ("null", b"snull"),
        ({"b": [None, "x"], "a": 1}, b'j{"a":1,"b":[null,"x"]}'),
        (b"\x00\xff", b"b\x00\xff"),
        (bytearray(b"12"), b"b12"),
        (memoryview(b"12"), b"b12"),
    ],
)
def test_encodings_are_as_published(value, encoded):
    assert encode_value(value) == encoded
    assert encode_column([value]) == [encoded]


@given(values)
def test_a_value_comes_back_with_its_type(value):
    assert same(decode_value(encode_value(value)), value)


@given(st.lists(st.text() | st.text("a\0s"), max_size=5) | st.lists(values, max_size=5))
def test_a_column_is_encoded_as_its_values_are(column):
    assert encode_column(column) == [encode_value(value) for value in column]


@given(values, values)
def test_different_values_have_different_encodings(one, other):
    assert (encode_value(one) == encode_value(other)) is same(one, other)


@given(values, st.integers(1, 70))
def test_padding_fills_up_and_comes_off(value, multiple):
    padded = pad(encode_value(value), multiple)
    assert len(padded) % multiple == 0
    assert len(padded) - len(encode_value(value)) < multiple + 2
    assert same(decode_value(padded), value)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_numbers_that_json_does_not_have(value):
    encoded = encode_value(value)
    assert (encoded[:1], len(encoded)) == (b"f", 9)
    back = decode_value(pad(encoded, 32))
    assert type(back) is float
    assert back == value or (math.isnan(back) and math.isnan(value))


def test_there_is_one_nan():
    negative = struct.unpack(">d", bytes.fromhex("fff8000000000001"))[0]
    assert encode_value(negative) == encode_value(float("nan")) == b"f" + bytes.fromhex("7ff8000000000000")


@pytest.mark.parametrize(
    "value",
    [
        [float("nan")],
        [1, {"x": [float("-inf")]}],
        2**64,
        -(2**63) - 1,
        "\ud800",
        ["\udfff"],
        {1: 2},
        object(),
        {"x": {1, 2}},
    ],
)
def test_what_would_not_come_back_unchanged_is_refused(value):
    with pytest.raises(TokenError):
        encode_value(value)
    with pytest.raises(TokenError):
        encode_column(["fine", value])


def test_a_document_nested_too_deep_is_refused():
    deep = []
    for _ in range(2000):
        deep = [deep]
    with pytest.raises(TokenError):
        encode_value(deep)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"12",
        b"x12",
        b"s\xff",
        b"j",
        b"j{",
        b"jNaN",
        b"f",
        b"f1234567",
        b"f123456789",
        b"j1 2",
        b"p",
        b"ps12",
        b"p\x80",
        b"px12\x80",
        b"pps12\x80\x80",
        b"s12"[1:],
    ],
)
def test_what_no_encoding_gives_is_refused(data):
    with pytest.raises(TokenError):
        decode_value(data)


def test_refusals_hold_no_value():
    for data in (b"ssecret\xff", b'j{"secret"', b"xsecret"):
        with pytest.raises(TokenError) as caught:
            decode_value(data)
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_authenticated_data_is_as_published():
    assert wire.aad("e", "K7dq2", "orders.email|é") == "sg1|e|K7dq2|orders.email|é".encode()


@given(names, names, st.lists(st.binary(min_size=1), max_size=6))
def test_tokens_are_read_as_they_are_written(kind, key_id, payloads):
    tokens = format_tokens(kind, key_id, payloads)
    assert [parse_token(token) for token in tokens] == [Token(kind, key_id, payload) for payload in payloads]


def test_a_column_of_tokens():
    assert format_tokens("e", "K", [b"\xfb\xff", b"\x00", b"abc"]) == [
        "sg1.e.K.-_8",
        "sg1.e.K.AA",
        "sg1.e.K.YWJj",
    ]
    assert format_tokens("e", "K", []) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sg1",
        "sg1.e.K",
        "sg1.e.K.",
        "sg1.e..QQ",
        "sg1..K.QQ",
        "sg2.e.K.QQ",
        "SG1.e.K.QQ",
        " sg1.e.K.QQ",
        "sg1.e.K.QQ\n",
        "sg1.e.K.QQ.QQ",
        "sg1.e.K.QQ==",
        "sg1.e.K.QR",  # decodes to the byte that QQ decodes to
        "sg1.e.K.Q!Q",
        "sg1.e.K.Q",
        "sg1.e.K.QQQQQ",
        "sg1.e.K.+/",
        "sg1.e.K é.QQ",
        "sg1.e.K.QQ\u00e9",
        "sg1.\u0435.K.QQ",  # a Cyrillic e
        "sg1.e.K.Q\uff31",  # a full-width Q
    ],
)
def test_any_other_spelling_is_no_token(text):
    with pytest.raises(TokenError):
        parse_token(text)


@given(st.text())
def test_arbitrary_text_is_a_token_only_in_canonical_form(text):
    try:
        token = parse_token(text)
    except TokenError:
        return
    assert format_tokens(token.kind, token.key_id, [token.payload]) == [text]


@given(st.dictionaries(texts, documents))
def test_the_order_of_names_makes_no_difference(document):
    def read(pairs):
        names = [name for name, _ in pairs]
        assert names == sorted(names)
        return dict(pairs)

    encoded = encode_value(document)
    assert encoded == encode_value(dict(reversed(document.items())))
    json.loads(encoded[1:], object_pairs_hook=read)


# -- the header sg-keys ----------------------------------------------------------------------------------------------

paths = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
key_ids = st.text(string.ascii_letters + string.digits + "-_", min_size=1)


@given(st.dictionaries(paths, key_ids, min_size=1))
def test_key_ids_come_back_whatever_the_paths_are(ids):
    header = wire.format_key_ids(ids)
    assert all(0x20 < byte < 0x7F or byte == 0x20 for byte in header)
    assert wire.parse_key_ids(header) == ids


def test_key_ids_read_as_the_policy_writes_its_paths():
    header = wire.format_key_ids({"$key": "K7dq2mXw0a", r"items[*].a\.b": "Zx81mQ0aLk"})
    assert header == rb"$key=K7dq2mXw0a,items[*].a\.b=Zx81mQ0aLk"


@pytest.mark.parametrize(
    "header",
    [b"", b"a", b"a=", b"=k", b"a=k,", b"a=k,a=l", b"a=k,%61=l", b"a=k k", b"\xff=k", b"%ff=k", b"a=k=l"],
)
def test_a_header_that_we_did_not_write_is_refused(header):
    with pytest.raises(TokenError):
        wire.parse_key_ids(header)
