import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from streamguard.transforms import mask
from tests.unit.transforms.support import anything, applied, code_of, compiled, integers, one, outputs

options = st.fixed_dictionaries(
    {
        "keep_first": st.integers(0, 6),
        "keep_last": st.integers(0, 6),
        "separators": st.sampled_from(["", "-", " -./", "–"]),
    }
)
texts = st.text() | st.text("0123456789-. –")


def expected(text: str, keep_first: int, keep_last: int, separators: str) -> str:
    """The definition, character by character."""
    maskable = [index for index, character in enumerate(text) if character not in separators]
    if not maskable or 2 * (keep_first + keep_last) > len(maskable):
        return "*" * len(text)
    hidden = set(maskable[keep_first : len(maskable) - keep_last])
    return "".join("*" if index in hidden else character for index, character in enumerate(text))


@given(options, st.lists(texts))
def test_masks_as_defined(given_options, values):
    assert outputs(compiled("mask", given_options), values) == [
        expected(value, **given_options) for value in values
    ]


@given(options, texts)
def test_keeps_the_length_and_never_more_than_half(given_options, value):
    masked = one("mask", given_options, value)
    assert len(masked) == len(value)
    separators = given_options["separators"]
    shown = [new for new, old in zip(masked, value, strict=True) if old not in separators and new != "*"]
    assert 2 * len(shown) <= sum(character not in separators for character in value)


@pytest.mark.parametrize(
    ("given_options", "value", "masked"),
    [
        ({}, "", ""),
        ({"keep_last": 4}, "4111111111111111", "************1111"),
        ({"keep_last": 4}, "12341234", "****1234"),
        ({"keep_last": 4}, "1234123", "*******"),
        ({"keep_last": 4, "separators": "-"}, "609-98-3079", "***-**-3079"),
        ({"keep_last": 4, "separators": "-"}, "98-3079", "*******"),
        ({"keep_first": 1, "keep_last": 1, "separators": " -"}, "4-1 1-1", "4-* *-1"),
        ({"separators": "-"}, "---", "***"),
        ({"keep_first": 3, "character": "•"}, "Mehmet Lund", "Meh••••••••"),
        ({"keep_last": 2}, 1234567, "*****67"),
        ({"keep_last": 2}, -1234567, "******67"),
    ],
)
def test_examples(given_options, value, masked):
    assert one("mask", given_options, value) == masked


@given(integers)
def test_an_integer_is_masked_as_its_digits(value):
    assert one("mask", {"keep_last": 2}, value) == one("mask", {"keep_last": 2}, str(value))


@given(anything.filter(lambda value: type(value) not in (str, int)))
def test_anything_else_is_rejected(value):
    assert code_of("mask", {"keep_last": 4}, value) == "domain"


def test_an_integer_beyond_64_bits_is_rejected():
    assert code_of("mask", {}, 10**5000) == "domain"


def test_the_memory_of_layouts_is_bounded():
    transform = compiled("mask", {"separators": "-", "keep_last": 1})
    values = [
        f"{number:014b}".replace("0", "-").replace("1", "x") for number in range(mask._MAX_LAYOUTS + 500)
    ]
    column, rejected = applied(transform, values)
    assert rejected == []
    assert column == [expected(value, 0, 1, "-") for value in values]
    assert len(transform._cuts) == mask._MAX_LAYOUTS


@pytest.mark.parametrize(
    "wrong",
    [
        {"keep_last": -1},
        {"keep_last": 65},
        {"keep_last": True},
        {"keep_last": "4"},
        {"character": ""},
        {"character": "**"},
        {"character": "\ud800"},
        {"separators": "a-"},
        {"separators": "٣"},
        {"separators": "-*"},
        {"separators": "\udc80"},
    ],
)
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ValidationError):
        compiled("mask", wrong)
