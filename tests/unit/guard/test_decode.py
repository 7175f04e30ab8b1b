"""Every input has one defined outcome, and none of them is an exception for the batch."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.formats.base import is_deep
from streamguard.formats.json import JsonForm, has_wide_integer
from streamguard.guard.batch import Batch
from streamguard.guard.decode import Decode


def decoded(*values, max_bytes=1_000_000, max_depth=64):
    batch = Batch("t", list(values))
    form = JsonForm(None)
    form.max_depth = max_depth
    Decode(form, max_bytes=max_bytes, vouched=False).apply(batch)
    batch.refresh()
    return batch


def codes(batch, row=0):
    return [finding.code for finding in batch.findings.get(row, ())]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"", "decode.empty"),
        (b" ", "decode.json"),
        (b"{", "decode.json"),
        (b'{"a":1}{"a":2}', "decode.json"),
        (b'\xef\xbb\xbf{"a":1}', "decode.json"),
        (b'{"a":"\xff"}', "decode.json"),
        (b'{"a":"\\ud800"}', "decode.json"),
        (b'{"a":NaN}', "decode.json"),
        (b'{"a":Infinity}', "decode.json"),
        (b'{"a":1e400}', "decode.json"),
        (b'{"a":18446744073709551616}', "decode.number"),
        (b'{"a":-9223372036854775809}', "decode.number"),
        (b'{"a":[1,' + b"9" * 300 + b"]}", "decode.number"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "decode.depth"),
        (b"[" * 500 + b"]" * 500, "decode.depth"),
        (b"[" * 100_000 + b"]" * 100_000, "decode.depth"),
        (b'{"a":' * 100_000 + b'"', "decode.depth"),
        (b'"' + b"x" * 1_000_000 + b'"', "decode.size"),
        (b"x" * 1_000_001, "decode.size"),
    ],
)
def test_refused(value, code):
    batch = decoded(b'{"a":1}', value, b'{"b":2}')
    assert codes(batch, 1) == [code]
    assert batch.live == [0, 2]


@pytest.mark.parametrize(
    ("value", "document"),
    [
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'{"a":18446744073709551615}', {"a": 2**64 - 1}),
        (b'{"a":-9223372036854775808}', {"a": -(2**63)}),
        (b'{"a":"18446744073709551616999"}', {"a": "18446744073709551616999"}),
        (b'{"a":0.1234567890123456789012}', {"a": 0.1234567890123456789012}),
        (b'{"a":1e0000000000000000000001}', {"a": 10.0}),
        (b'{"a":"\\"18446744073709551616"}', {"a": '"18446744073709551616'}),
        (b'{"a":1234567890123456789012.5}', {"a": 1234567890123456789012.5}),
        (b'{"a":10.00}', {"a": 10.0}),
        (b"[1]", [1]),
        (b'"text"', "text"),
        (b'{"a":' * 64 + b"1" + b"}" * 64, None),
    ],
)
def test_accepted(value, document):
    batch = decoded(value)
    assert batch.live == [0]
    assert document is None or batch.documents[0] == document


def test_ten_megabytes_are_just_a_record():
    value = orjson.dumps({"a": "x" * 10_000_000})
    assert decoded(value, max_bytes=16_777_216).live == [0]
    assert codes(decoded(value)) == ["decode.size"]


def test_tombstones_stand_aside():
    batch = decoded(b"{}", None, b"x", None)
    assert (batch.live, batch.tombstones) == ([0], [1, 3])
    assert list(batch.findings) == [2]


@given(st.integers(-(2**70), 2**70))
def test_wide_integers_are_those_that_json_parsers_round(number):
    text = b'{"id":"1234567890123456789012","n":%d}' % number
    assert has_wide_integer(text) is (orjson.loads(text)["n"] != number or not -(2**63) <= number < 2**64)


@given(
    st.recursive(st.none() | st.booleans(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_depth(document):
    def depth(node):
        children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else None
        return 0 if children is None else 1 + max(map(depth, children), default=0)

    for limit in range(1, 6):
        assert is_deep(document, limit) is (depth(document) > limit)


@given(st.binary())
def test_nothing_raises(value):
    batch = decoded(value)
    assert bool(batch.findings) != bool(batch.live)


# Megabytes of which each character could begin a number or a string: read once it takes a moment, read anew from each
# character it takes days, and the lane would never come back.
@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b'{"a":0.' + b"1" * 4_000_000 + b"e1}", None),
        (b'\\"' * 2_000_000, "decode.json"),
        (b'\\"' * 2_000_000 + b"\\", "decode.json"),
    ],
    ids=["digits", "quotes", "quotes and an escape"],
)
def test_nothing_is_read_twice(value, code):
    assert codes(decoded(value, max_bytes=2**23)) == ([code] if code else [])
