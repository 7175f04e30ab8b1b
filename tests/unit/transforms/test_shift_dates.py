"""`shift_dates`: one shift per person, intervals as they were, and back again for who knows the person."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from streamguard.crypto.keyring import Keyring
from streamguard.errors import KeyMissingError, TokenError
from streamguard.transforms.base import KEY_PATH, Origin
from streamguard.transforms.subject_name import subject_name
from tests.unit.transforms.support import KEYS, anything, applied, compiled

days = st.dates(date(1900, 1, 1), date(2100, 12, 31))
times = st.sampled_from(["", "T08:30", "T08:30:15Z", "t23:59:60.123+01:00", " 00:00:00,5-0330", "T08:30z"])
people = st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.integers(-(2**63), 2**63)


def back(transform, column, subjects):
    return transform.reverse(column, [Origin(transform.key_id, subject) for subject in subjects])


@given(st.lists(st.tuples(days, times, people), max_size=6), st.integers(7, 4000))
def test_dates_move_by_whole_days_and_come_back(drawn, most):
    transform = compiled("shift_dates", {"max_days": most})
    values = [day.isoformat() + time for day, time, _ in drawn]
    subjects = [person for *_, person in drawn]
    column, rejected = applied(transform, values, subjects)
    assert rejected == []
    for moved, (day, time, _) in zip(column, drawn, strict=True):
        assert moved[10:] == time
        assert 1 <= abs((date.fromisoformat(moved[:10]) - day).days) <= most
    assert back(transform, column, subjects) == values


@given(people, st.lists(days, min_size=2, max_size=5))
def test_what_lies_between_a_persons_dates_stays(person, dates):
    transform = compiled("shift_dates")
    column, _ = applied(transform, [day.isoformat() for day in dates], [person] * len(dates))
    moved = list(map(date.fromisoformat, column))
    assert [day - moved[0] for day in moved] == [day - dates[0] for day in dates]


def test_all_fields_of_a_person_move_together_and_other_peoples_do_not():
    born = compiled("shift_dates", element="orders.born")
    seen = compiled("shift_dates", element="orders.seen")
    values = ["2024-02-29"] * 200
    subjects = [f"C{number}" for number in range(200)]
    column, _ = applied(born, values, subjects)
    assert applied(seen, values, subjects)[0] == column
    assert len(set(column)) > 100
    assert "2024-02-29" not in column


def test_12_is_the_person_of_the_text_12():
    column, _ = applied(compiled("shift_dates"), ["2024-02-29"] * 2, [12, "12"])
    assert column[0] == column[1]


def test_the_key_is_that_of_the_persons_element():
    elsewhere = compiled("shift_dates", subject="who", elements={"who": "customer"})
    here = compiled("shift_dates", subject="id", elements={"id": "customer"})
    other = compiled("shift_dates", {"by": "name"}, subject="id", elements={"id": "customer"})
    columns = [applied(one, ["2024-02-29"] * 20, list(range(1, 21)))[0] for one in (elsewhere, here, other)]
    assert columns[0] == columns[1] != columns[2]
    assert (here.subject_path, other.subject_path) == ("id", "name")


def test_shifts_go_both_ways_and_as_far_as_they_may():
    transform = compiled("shift_dates", {"max_days": 7})
    column, _ = applied(transform, ["2024-02-29"] * 400, [f"C{number}" for number in range(400)])
    moved = {(date.fromisoformat(text) - date(2024, 2, 29)).days for text in column}
    assert moved == set(range(-7, 8)) - {0}


@given(st.lists(st.tuples(anything, anything), max_size=5))
def test_what_is_no_date_or_nobodys_is_refused(drawn):
    transform = compiled("shift_dates")
    values, subjects = [value for value, _ in drawn], [person for _, person in drawn]
    column, rejected = applied(transform, values, subjects)
    assert column == [None] * len(drawn)
    assert [row for row, _ in rejected] == list(range(len(drawn)))
    for row, code in rejected:
        assert code == ("subject" if subject_name(subjects[row]) is None else "domain")
    for found in transform.reverse(values, [Origin(transform.key_id, person) for person in subjects]):
        assert isinstance(found, TokenError)


@pytest.mark.parametrize(
    "value",
    ["2024-02-30", "0000-01-01", "29.02.2024", "2024-02-29T24:00", "2024-02-29T8:30", "2024-02-29T", "2024", 20240229],
)  # fmt: skip
def test_what_looks_like_a_date_and_is_none(value):
    assert applied(compiled("shift_dates"), [value]) == ([None], [(0, "domain")])


def test_the_calendar_has_ends():
    transform = compiled("shift_dates", {"max_days": 36500})
    people = [f"C{number}" for number in range(30)]
    column, rejected = applied(transform, ["0001-01-01"] * 30, people)
    assert {code for _, code in rejected} == {"domain"}
    assert 0 < len(rejected) < 30
    assert {row for row, _ in rejected} == {row for row, moved in enumerate(column) if moved is None}


@pytest.mark.parametrize("nobody", [None, "", True, 1.5, {}, []])
def test_a_date_that_is_nobodys(nobody):
    assert applied(compiled("shift_dates"), ["2024-02-29"], [nobody]) == ([None], [(0, "subject")])


def test_turning_back_takes_the_key_and_the_person():
    keyring = Keyring.in_memory()
    transform = compiled("shift_dates", keyring=keyring)
    (moved,), _ = applied(transform, ["2024-02-29"], ["C1"])
    key_id = transform.key_id
    nobody, unnamed, strange = transform.reverse(
        [moved] * 3, [Origin(key_id), Origin(None, "C1"), Origin("nosuchkey", "C1")]
    )
    assert isinstance(nobody, TokenError)
    assert isinstance(unnamed, TokenError)
    assert isinstance(strange, KeyMissingError)
    keyring.rotate("orders.customer.id")
    (later,), _ = applied(transform, ["2024-02-29"], ["C1"])
    assert transform.key_id != key_id
    origins = [Origin(key_id, "C1"), Origin(transform.key_id, "C1")]
    assert transform.reverse([moved, later], origins) == ["2024-02-29"] * 2


def test_what_check_says():
    assert compiled("shift_dates").check() is None
    assert "name the policy's 'subject'" in compiled("shift_dates", subject=None).check()
    assert compiled("shift_dates", {"by": "x"}).check()  # itself
    assert compiled("shift_dates", {"by": "items[*].id"}).check()
    field = compiled("shift_dates").field
    on_key = type(compiled("shift_dates"))(
        compiled("shift_dates").options, type(field)("o", "o", KEY_PATH, "o.k", subject="x"), KEYS
    )
    assert on_key.check()


@pytest.mark.parametrize("wrong", [{"max_days": 6}, {"max_days": 36501}, {"by": ""}, {"days": 3}])
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ValidationError):
        compiled("shift_dates", wrong)
