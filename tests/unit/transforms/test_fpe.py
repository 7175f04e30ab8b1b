"""`fpe`: length, alphabet, kept characters and check digits stay; the key that the record names turns it back."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from streamguard.crypto.ff1 import FF1
from streamguard.crypto.keyring import Keyring
from streamguard.errors import KeyMissingError, TokenError
from streamguard.transforms.base import Origin
from streamguard.transforms.fpe import ALPHABETS, Fpe
from streamguard.transforms.luhn import completing, is_valid
from tests.unit.transforms.support import KEYS, anything, applied, compiled, outputs

digits = st.text(string.digits, min_size=6, max_size=40)


def back(transform, column, keyring=KEYS):
    return transform.reverse(column, [Origin(transform.key_id)] * len(column))


def test_threads_that_reveal_under_different_keys_do_not_mix_them_up():
    """FF1 would not notice: the value of one would be turned back with the key of the other."""
    keyring = Keyring.in_memory()
    transform = compiled("fpe", keyring=keyring)
    (old,), before = outputs(transform, ["123456789"]), transform.key_id
    keyring.rotate(transform.field.element)
    (new,), after = outputs(transform, ["987654321"]), transform.key_id
    assert before != after
    assert back(transform, [old]) != ["123456789"]
    interrupted = Interrupted(transform.options, transform.field, keyring)
    interrupted.meanwhile = lambda: interrupted.reverse([old], [Origin(before)])
    assert interrupted.reverse([new], [Origin(after)]) == ["987654321"]


class Interrupted(Fpe):
    """Where another thread comes in between, as soon as this one has its cipher."""

    meanwhile = None

    @property
    def _cipher(self):
        return self.kept

    @_cipher.setter
    def _cipher(self, cipher):
        self.kept = cipher
        if cipher is not None and self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()


@given(st.lists(digits, max_size=6))
def test_digits_become_other_digits_and_come_back(values):
    transform = compiled("fpe")
    column = outputs(transform, values)
    assert [len(text) for text in column] == [len(value) for value in values]
    assert all(set(text) <= set(string.digits) for text in column)
    assert back(transform, column) == values


@given(
    st.sampled_from(sorted(ALPHABETS)),
    st.integers(0, 3),
    st.integers(0, 3),
    st.lists(st.tuples(st.text(min_size=3, max_size=3), st.integers(6, 12), st.data()), max_size=4),
)
def test_what_is_kept_is_kept_and_the_rest_stays_in_its_alphabet(alphabet, first, last, drawn):
    transform = compiled("fpe", {"alphabet": alphabet, "keep_first": first, "keep_last": last})
    letters = ALPHABETS[alphabet]
    values = [
        ends[:first] + data.draw(st.text(letters, min_size=length, max_size=length)) + ends[3 - last :]
        for ends, length, data in drawn
    ]
    values = [value for value in values if len(value) >= first + last + 6]
    column = outputs(transform, values)
    for text, value in zip(column, values, strict=True):
        assert text[:first] == value[:first]
        assert text[len(text) - last :] == value[len(value) - last :]
        assert set(text[first : len(text) - last]) <= set(letters)
    assert back(transform, column) == values


@given(st.lists(st.text(string.digits + "- ", min_size=6, max_size=30), max_size=5))
def test_separators_stay_in_place_and_change_nothing_else(values):
    transform, plain = compiled("fpe", {"separators": "- "}), compiled("fpe")
    column, rejected = applied(transform, values)
    refused = dict(rejected)
    for row, (text, value) in enumerate(zip(column, values, strict=True)):
        bare = re.sub("[- ]", "", value)
        if row in refused:
            assert len(bare) < 6
            continue
        assert [sign if sign in "- " else "0" for sign in text] == [s if s in "- " else "0" for s in value]
        assert outputs(plain, [bare]) == [re.sub("[- ]", "", text)]
        assert back(transform, [text]) == [value]


@given(st.text(string.digits, min_size=11, max_size=20), st.integers(0, 4), st.integers(0, 4))
def test_cards_become_numbers_with_a_valid_check_digit(start, first, last):
    card = start + completing(start, "")
    transform = compiled("fpe", {"luhn": True, "keep_first": first, "keep_last": last})
    column, rejected = applied(transform, [card])
    if rejected:
        assert len(card) - first - last - 1 < 6
        return
    assert is_valid(column[0])
    assert column[0][:first] == card[:first]
    assert column[0][len(card) - last :] == card[len(card) - last :]
    assert back(transform, column) == [card]


@pytest.mark.parametrize("number", ["4111111111111111", "5500005555555559", "79927398713", "0"])
def test_numbers_that_pass_luhn(number):
    assert is_valid(number)


@pytest.mark.parametrize("number", ["4111111111111112", "79927398710", "", "41x1", "٤", " 0"])
def test_what_does_not_pass_luhn(number):
    assert not is_valid(number)


@given(st.text(string.digits, max_size=20), st.text(string.digits, max_size=20))
def test_one_digit_completes_a_number_wherever_it_stands(before, after):
    completed = before + completing(before, after) + after
    assert is_valid(completed)
    others = [before + digit + after for digit in string.digits if digit != completed[len(before)]]
    assert not any(map(is_valid, others))


def test_the_kept_characters_are_the_tweak():
    transform = compiled("fpe", {"keep_first": 2, "keep_last": 2})
    middles = [text[2:-2] for text in outputs(transform, ["11000000022", "12000000022", "11000000023"])]
    assert len(set(middles)) == 3


def test_a_column_is_what_ff1_makes_of_each():
    transform = compiled("fpe", {"symbols": "0123456789abcdef", "keep_first": 1})
    (text,) = outputs(transform, ["x00ff17c2a9"])
    cipher = FF1(KEYS.find(transform.key_id).subkey("fpe"), "0123456789abcdef")
    assert text == "x" + cipher.encrypt("00ff17c2a9", b"x\0")


def test_elements_have_different_keys_and_fields_of_one_element_the_same():
    one, same, other = (compiled("fpe", element=element) for element in ("ssn", "ssn", "card"))
    values = ["609983079"]
    assert outputs(one, values) == outputs(same, values) != outputs(other, values)


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "value", "code"),
    [
        ({}, "12345", "domain"),
        ({}, "", "domain"),
        ({}, 609983079, "domain"),
        ({}, "60998307a", "domain"),
        ({}, "60998307٤", "domain"),
        ({}, "609-98-3079", "domain"),
        ({"alphabet": "lower"}, "abcd", "domain"),
        ({"keep_first": 6, "keep_last": 4}, "411111123451111", "domain"),
        ({"keep_first": 6, "keep_last": 4, "luhn": True}, "4111111111111111", "domain"),
        ({"keep_first": 5}, "1234", "domain"),
        ({"luhn": True}, "4111111111111112", "luhn"),
        ({"luhn": True, "keep_first": 1}, "x111111111111111", "luhn"),
    ],
)
def test_what_ff1_cannot_take_is_a_violation(options, value, code):
    column, rejected = applied(compiled("fpe", options), [value])
    assert (column, rejected) == ([None], [(0, code)])


@given(st.lists(anything, max_size=5))
def test_reversing_anything_gives_values_or_typed_errors(values):
    transform = compiled("fpe", {"separators": "-", "keep_first": 1})
    outputs(transform, ["1234567"])
    for value in back(transform, values):
        assert isinstance(value, str | TokenError)


@pytest.mark.parametrize(
    "wrong",
    [
        {"alphabet": "digit"},
        {"alphabet": "digits", "symbols": "ab"},
        {"symbols": "a"},
        {"symbols": "aab"},
        {"separators": "x"},
        {"symbols": "ab-", "separators": "-"},
        {"luhn": True, "alphabet": "letters"},
        {"keep_first": -1},
        {"keep_last": 65},
    ],
)
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ValidationError):
        compiled("fpe", wrong)


# -- keys ------------------------------------------------------------------------------------------------------------


def test_after_a_rotation_each_record_is_read_with_the_key_that_it_names():
    keyring = Keyring.in_memory()
    transform = compiled("fpe", keyring=keyring)
    (old,), before = outputs(transform, ["609983079"]), transform.key_id
    keyring.rotate("orders.x")
    (new,), after = outputs(transform, ["609983079"]), transform.key_id
    assert before != after
    assert old != new
    origins = [Origin(before), Origin(after), Origin(before)]
    assert transform.reverse([old, new, old], origins) == ["609983079"] * 3


def test_without_the_right_key_nothing_is_turned_back():
    keyring = Keyring.in_memory()
    transform = compiled("fpe", keyring=keyring)
    (text,) = outputs(transform, ["609983079"])
    other = keyring.pinned("orders.y").id
    unnamed, strange, foreign = transform.reverse([text] * 3, [Origin(), Origin("nosuchkey"), Origin(other)])
    assert isinstance(unnamed, TokenError)
    assert "sg-keys" in str(unnamed)
    assert isinstance(strange, KeyMissingError)
    assert isinstance(foreign, TokenError)
    keyring.destroy([transform.key_id])
    (gone,) = transform.reverse([text], [Origin(transform.key_id)])
    assert isinstance(gone, KeyMissingError)


# -- what check says -------------------------------------------------------------------------------------------------


def said(options, **field):
    transform = compiled("fpe", options, types=("string",), **field)
    return transform.check(), transform.caution()


CARD = {"patterns": ("^[0-9]{16}$",)}


@pytest.mark.parametrize(
    ("options", "field", "left"),
    [
        ({"keep_first": 6, "keep_last": 4, "luhn": True}, CARD, "100,000"),
        ({"keep_first": 6, "keep_last": 5}, CARD, "100,000"),
        ({}, {"max_length": 5}, "100,000"),
        ({"alphabet": "upper"}, {"patterns": (r"^[A-Z]{1,4}$",)}, "456,976"),
        ({"separators": "-"}, {"patterns": (r"^\d{2}-\d{2}$",)}, "10,000"),
        ({"keep_first": 16}, CARD, "1"),
        ({"keep_first": 17}, CARD, "1"),
    ],
)
def test_a_field_that_leaves_too_little_is_refused(options, field, left):
    fault, _ = said(options, **field)
    assert f" {left} possibilities" in fault


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"keep_first": 6, "keep_last": 4}, CARD),
        ({"keep_first": 6, "luhn": True}, CARD),
        ({}, {"max_length": 6, "min_length": 6}),
        ({"separators": "-"}, {"patterns": (r"^\d{3}-\d{2}-\d{4}$",)}),
        ({}, {}),
        ({}, {"patterns": ("(?=x)",)}),
    ],
)
def test_a_field_that_leaves_enough_is_not(options, field):
    assert said(options, **field) == (None, None)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({}, {"min_length": 3}),
        ({}, {"patterns": (r"^\d{1,16}$",)}),
        ({"keep_first": 6, "keep_last": 4, "luhn": True}, {"patterns": (r"^\d{13,19}$",)}),
    ],
)
def test_a_field_of_which_some_values_are_too_short_is_a_warning(options, field):
    fault, caution = said(options, **field)
    assert fault is None
    assert "too short" in caution


def test_an_enum_is_refused():
    fault, _ = said({}, enum=("1234567", "7654321"))
    assert "2 values" in fault
