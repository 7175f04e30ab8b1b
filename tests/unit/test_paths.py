"""Paths: the text people write and the segments it means are exact inverses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.policy.paths import Path, Places, Wild, parse_path

SEGMENTS = st.one_of(st.sampled_from(Wild), st.text(min_size=1))


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("ip", ("ip",)),
        ("customer.email", ("customer", "email")),
        ("items[*].note", ("items", Wild.EACH, "note")),
        ("[*].id", (Wild.EACH, "id")),
        ("matrix[*][*]", ("matrix", Wild.EACH, Wild.EACH)),
        ("labels.*", ("labels", Wild.ANY)),
        ("*.name", (Wild.ANY, "name")),
        (r"a\.b.c", ("a.b", "c")),
        (r"price\[\*\]", ("price[*]",)),
        ("naïve field", ("naïve field",)),
    ],
)
def test_reads_and_writes(text, segments):
    assert parse_path(text) == Path(segments)
    assert str(parse_path(text)) == text


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a[0]", "a[*", "a]b", "a[*]b", "a*b", "\\"])
def test_refuses(text):
    with pytest.raises(ValueError, match=r"expected|empty"):
        parse_path(text)


@given(st.lists(SEGMENTS, min_size=1).map(tuple))
def test_every_path_reads_back(segments):
    assert parse_path(str(Path(segments))) == Path(segments)


@pytest.mark.parametrize(
    ("upper", "lower", "covers"),
    [
        ("customer", "customer.email", True),
        ("customer", "customer", True),
        ("customer.email", "customer", False),
        ("customer", "customers.email", False),
        ("labels.*", "labels.a", True),
        ("labels.*", "labels.a.b", True),
        ("labels.a", "labels.*", False),
        ("items.*", "items[*]", False),
        ("items[*]", "items[*].sku", True),
    ],
)
def test_covers(upper, lower, covers):
    assert parse_path(upper).covers(parse_path(lower)) is covers


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a", ["x"]),
        ("b", [None]),
        ("c", []),
        ("a.b", []),
        ("items", [[{"n": 1}, {}, {"n": None}, 7]]),
        ("items[*].n", [1, None]),
        ("items.n", []),
        ("items.*", []),
        ("a[*]", []),
        ("map.*", [1, [2, 3]]),
        ("map.*[*]", [2, 3]),
        ("map[*]", []),
        ("*.y[*]", [2, 3]),
    ],
)
def test_values_in_a_document(path, found):
    document = {"a": "x", "b": None, "items": [{"n": 1}, {}, {"n": None}, 7], "map": {"x": 1, "y": [2, 3]}}
    assert parse_path(path).values_in(document) == found


FEW = st.lists(st.sampled_from(["a", "b", *Wild]), max_size=3).map(lambda segments: Path(tuple(segments)))


@given(st.lists(FEW), FEW)
def test_places_finds_what_a_look_at_every_path_finds(paths, path):
    places = Places((each, number) for number, each in enumerate(paths))
    numbered = list(enumerate(paths))
    assert places.covering(path) == [number for number, other in numbered if other.covers(path)]
    assert places.covered(path) == [number for number, other in numbered if path.covers(other)]
    assert places.overlapping(path) == [number for number, other in numbered if path.overlaps(other)]
