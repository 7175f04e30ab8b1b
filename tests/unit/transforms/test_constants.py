"""redact, replace, nullify, drop: the same for every value."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from streamguard.transforms.base import DROP
from tests.unit.transforms.support import anything, compiled, outputs


@given(st.lists(anything))
def test_every_value_becomes_the_constant(values):
    count = len(values)
    assert outputs(compiled("redact"), values) == ["[redacted]"] * count
    assert outputs(compiled("redact", {"text": ""}), values) == [""] * count
    assert outputs(compiled("nullify"), values) == [None] * count
    assert outputs(compiled("drop"), values) == [DROP] * count
    assert outputs(compiled("replace", {"value": "n/a"}), values) == ["n/a"] * count


@pytest.mark.parametrize("value", ["0", 0, 0.0, False, True, 1, -(2**63), 2**64 - 1, ""])
def test_a_replacement_keeps_its_type(value):
    (replaced,) = outputs(compiled("replace", {"value": value}), ["x"])
    assert (type(replaced), replaced) == (type(value), value)


@pytest.mark.parametrize("value", [None, [], {}, math.nan, math.inf, 2**64, -(2**63) - 1, "\ud800"])
def test_a_replacement_that_could_not_be_written_is_refused(value):
    with pytest.raises(ValidationError):
        compiled("replace", {"value": value})


def test_a_replacement_must_be_given():
    with pytest.raises(ValidationError):
        compiled("replace")


@pytest.mark.parametrize("text", [None, 1, "\udfff"])
def test_a_redaction_that_is_no_text_is_refused(text):
    with pytest.raises(ValidationError):
        compiled("redact", {"text": text})
