"""What lengths a pattern allows: never more at least, never fewer at most, than what texts that match really have."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streamguard.transforms.base import Field
from streamguard.transforms.lengths import Lengths

NOTHING = Lengths(0, None)


def of(pattern, separators=""):
    field = Field("o", "o", "x", "o.x", patterns=(pattern,))
    return Lengths.of(field, separators)


@pytest.mark.parametrize(
    ("pattern", "separators", "least", "most"),
    [
        (r"^\d{9}$", "", 9, 9),
        (r"^\d{3}-\d{2}-\d{4}$", "-", 9, 9),
        (r"^\d{3}-\d{2}-\d{4}$", "", 11, 11),
        (r"^\d{3}-?\d{2}-?\d{4}$", "-", 9, 9),
        (r"^\d{4}( ?\d{4}){3}$", " ", 16, 16),
        (r"^[0-9 -]{16,23}$", " -", 0, 23),
        (r"^(?:\d{9}|[A-Z]{2}\d{6})$", "", 8, 9),
        (r"^\d{9}|\d{3}$", "", 3, None),
        (r"\d{4}", "", 4, None),
        (r"^\d+$", "", 1, None),
        (r"^a*b?c{2}d{3,}$", "", 5, None),
        (r"^a{2}?$", "", 2, 2),
        (r"^\.\/\-$", "-", 2, 2),
        (r"^[ -]$", " -", 0, 0),
        (r"^[^0-9]{4}$", "-", 0, 4),
        (r"^.{4}$", "", 4, 4),
        (r"^.{4}$", "-", 0, 4),
        (r"^\t\d$", "\t", 1, 1),
        (r"^()$", "", 0, 0),
        (r"^$", "", 0, 0),
    ],
)
def test_simple_patterns(pattern, separators, least, most):
    assert of(pattern, separators) == Lengths(least, most)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^(?=.{4})\d+$", r"^(a)\1$", r"^\p{L}+$", r"^(?<n>a)$", r"^(a$", r"^a)$", r"^[a$", r"(^a$)", r"^\bx$",
        r"^[[a]]$", r"^[a--b]$", r"^a{2$", r"^\u0041$", r"^\x41$", "^" + "(" * 5000 + ")" * 5000 + "$",
    ],
)  # fmt: skip
def test_what_is_not_simple_tells_nothing(pattern):
    assert of(pattern) == NOTHING


def test_everything_that_the_schema_says_holds_together():
    field = Field("o", "o", "x", "o.x", patterns=(r"^\d{4,20}$", r"^.{6,}$"), min_length=5, max_length=16)
    assert Lengths.of(field, "") == Lengths(6, 16)
    assert Lengths.of(field, "-") == Lengths(4, 16)


atoms = st.sampled_from([r"\d", "a", "-", "[a-f]", "[0-9-]", r"\-", "."])
counts = st.sampled_from(["", "?", "*", "+", "{2}", "{1,3}", "{2,}", "??"])
parts = st.builds(str.__add__, atoms, counts)
sequences = st.lists(parts, min_size=1, max_size=4).map("".join)
groups = st.lists(sequences, min_size=1, max_size=3).map(lambda some: f"(?:{'|'.join(some)})")
patterns = st.lists(st.builds(str.__add__, groups | sequences, counts), min_size=1, max_size=3).map("".join)


@given(patterns, st.text("0a-f9", max_size=8), st.sampled_from(["", "-"]))
def test_no_text_that_matches_is_outside(pattern, text, separators):
    try:
        matches = re.compile(f"^(?:{pattern})$").match(text)
    except re.error:
        assume(False)
    if matches:
        lengths, count = of(f"^(?:{pattern})$", separators), sum(sign not in separators for sign in text)
        assert lengths.least <= count
        assert lengths.most is None or count <= lengths.most
