"""The canonical encoding and the hash of an entry."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.access.chain import FIRST, encode, entry_hash, head_message
from streamguard.store.audit import AuditRow

ROW = AuditRow(
    seq=7,
    at=datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC),
    who="oidc:https://login.example.com#ana",
    action="reveal",
    element="email",
    count=2,
    purpose="ticket 4711",
    decision="revealed",
    reason="support",
    reference_hmac=bytes(range(32)),
    previous_hash=FIRST,
    hash=b"",
)
# An offset of whole minutes, as time zones have.
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
values = (
    st.none()
    | st.integers()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.datetimes(timezones=offsets)
)


@given(st.lists(values), st.lists(values))
def test_no_two_sequences_have_one_encoding(one, other):
    assert (encode(*one) == encode(*other)) == ([(type(v), v) for v in one] == [(type(v), v) for v in other])


@given(st.lists(st.text("ab", max_size=3), max_size=3), st.lists(st.text("ab", max_size=3), max_size=3))
def test_what_stands_side_by_side_does_not_run_together(one, other):
    assert (encode(*one) == encode(*other)) == (one == other)


def test_the_encoding_is_that_of_the_page():
    assert encode(None, 12, "é", b"\x00", datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC)) == (
        b"n\0\0\0\0i\0\0\0\x0212s\0\0\0\x02\xc3\xa9b\0\0\0\x01\0t\0\0\0\x071000005"
    )


@pytest.mark.parametrize("value", [True, 1.5, [], {}, datetime(2026, 1, 1)])  # noqa: DTZ001 - without its offset
def test_other_types_have_none(value):
    with pytest.raises(TypeError):
        encode(value)


def test_the_hash_is_for_good():
    assert entry_hash(ROW).hex() == "04ab18a5665f387e4625045f48ed530745d52931ed5f8160256e011696475cd0"


@pytest.mark.parametrize("column", [column.name for column in fields(AuditRow) if column.name != "hash"])
def test_every_column_counts(column):
    found = getattr(ROW, column)
    other = {int: lambda: found + 1, str: lambda: found + ".", bytes: lambda: found + b"."}.get(
        type(found), lambda: found + timedelta(microseconds=1)
    )()
    assert entry_hash(replace(ROW, **{column: other})) != entry_hash(ROW)
    if column in ("element", "purpose", "reason", "reference_hmac"):
        hashes = {entry_hash(replace(ROW, **{column: value})) for value in (None, type(found)(), found)}
        assert len(hashes) == 3


def test_a_time_is_the_same_wherever_it_is_told():
    tokyo = timezone(timedelta(hours=9))
    assert entry_hash(replace(ROW, at=ROW.at.astimezone(tokyo))) == entry_hash(ROW)


def test_a_head_is_no_entry():
    assert head_message(1, bytes(32), ROW.at) != head_message(
        1, bytes(32), ROW.at + timedelta(microseconds=1)
    )
    assert head_message(1, bytes(32), ROW.at) != head_message(2, bytes(32), ROW.at)
