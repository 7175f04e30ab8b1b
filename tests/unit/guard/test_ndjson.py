"""Lines of a stream: none lost, none held that is too long, whatever the pieces they come in."""

import io
import tracemalloc
from itertools import chain, pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.crypto.keyring import Keyring
from streamguard.guard.guard import Guard
from streamguard.guard.ndjson import Line, filter_lines, read_lines
from streamguard.policy.models import Policy

POLICY = {
    "name": "people",
    "version": "1",
    "topic": "people",
    "key": "drop",
    "fields": {"id": "redact"},
    "keep": ["n"],
}


def lines_of(*chunks, longest=100):
    """What is read from a stream that gives these chunks."""
    waiting = iter([*filter(None, chunks), b""])
    return list(chain.from_iterable(read_lines(lambda _: next(waiting), longest)))


def test_lines_are_numbered_from_0_and_blank_ones_counted():
    assert lines_of(b'{"a":1}\n\n  \t\n{"a":2}\r\n{"a":3}') == [
        Line(0, 7, b'{"a":1}'),
        Line(3, 8, b'{"a":2}\r'),
        Line(4, 7, b'{"a":3}'),
    ]


def test_a_byte_order_mark_is_not_part_of_the_first_record():
    assert lines_of(b"\xef\xbb\xbf{}\n\xef\xbb\xbf{}") == [Line(0, 2, b"{}"), Line(1, 5, b"\xef\xbb\xbf{}")]


@pytest.mark.parametrize("stream", [b"", b"\n", b"\n\n \n", b"\xef\xbb\xbf"])
def test_nothing_is_no_record(stream):
    assert lines_of(stream) == []


def test_a_line_that_is_too_long_leaves_its_size_only():
    assert lines_of(b"a\n" + b"x" * 11 + b"\nb\n" + b"y" * 10, longest=10) == [
        Line(0, 1, b"a"),
        Line(1, 11, None),
        Line(2, 1, b"b"),
        Line(3, 10, b"y" * 10),
    ]
    assert lines_of(b"x" * 6, b"x" * 6, b"x" * 6, longest=10) == [Line(0, 18, None)]


def cut(stream, places):
    ends = sorted({min(place, len(stream)) for place in places} | {0, len(stream)})
    return [stream[start:end] for start, end in pairwise(ends)]


@given(
    st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=12),
    st.lists(st.integers(0, 300), max_size=12),
    st.integers(1, 25),
)
def test_no_piece_of_a_stream_changes_its_lines(lines, places, longest):
    stream = b"\n".join(lines)
    expected = [
        Line(number, len(line), line if len(line) <= longest else None)
        for number, line in enumerate(stream.removeprefix(b"\xef\xbb\xbf").split(b"\n"))
        if len(line) > longest or line.strip()
    ]
    chunks = cut(stream, places)
    if stream.startswith(b"\xef\xbb\xbf"):
        chunks = [stream]  # three bytes of a file's start come together
    assert lines_of(*chunks, longest=longest) == expected


def test_a_gigabyte_in_one_line_takes_no_memory():
    chunk = b"x" * 262_144
    chunks = iter([*[chunk] * 4096, b""])
    tracemalloc.start()
    found = list(chain.from_iterable(read_lines(lambda _: next(chunks), 1_000_000)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == [Line(0, 2**30, None)]
    assert peak < 8_000_000


@pytest.fixture(scope="module")
def guard():
    return Guard(Policy.model_validate(POLICY | {"value": {"max_bytes": 50}}), None, Keyring.in_memory())


def run(guard, stream):
    clean, violations = [], []
    for lines in read_lines(io.BytesIO(stream).read, guard.policy.value.max_bytes):
        for filtered in filter_lines(guard, lines):
            clean += filtered.clean
            violations += [(code, orjson.loads(body)) for code, body in filtered.violations]
    return clean, violations


def test_each_line_ends_as_a_clean_document_or_as_a_violation(guard):
    clean, violations = run(guard, b'{"id":"a","n":1}\nnot JSON\n{"id":"b","x":1}\n{"n":2}\nnull\n')
    assert [orjson.loads(document) for document in clean] == [{"id": "[redacted]", "n": 1}, {"n": 2}]
    assert [(code, body["source"]["offset"], body["source"]["partition"]) for code, body in violations] == [
        ("decode.json", 1, -1),
        ("schema.undeclared", 2, -1),
        ("transform.shape", 4, -1),
    ]
    assert len({body["id"] for _, body in violations}) == 3


def test_many_lines_go_in_slices_and_stay_in_order(guard):
    clean, violations = run(guard, b"".join(b'{"n":%d}\n' % n if n % 10 else b"{\n" for n in range(1000)))
    assert [orjson.loads(document)["n"] for document in clean] == [n for n in range(1000) if n % 10]
    assert [body["source"]["offset"] for _, body in violations] == list(range(0, 1000, 10))


def test_a_line_that_is_too_long_is_a_violation_without_its_original(guard):
    clean, violations = run(guard, b'{"n":1}\n{"n":"' + b"x" * 5000 + b'"}\n{"n":2}\n')
    assert len(clean) == 2
    ((code, body),) = violations
    assert (code, body["original"], body["original_bytes"]) == ("decode.size", "omitted", 5008)
