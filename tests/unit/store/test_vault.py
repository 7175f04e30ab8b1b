"""Vault entries: whole columns at once, one token per value whoever asks, and tokens that are never given out again."""

import hashlib
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import event

from streamguard.store import database
from streamguard.store.vault import VaultRow
from tests.unit.store.rows import NOW


def index_of(value):
    return hashlib.sha256(f"{value}".encode()).digest()


def row_of(value, **changes):
    row = VaultRow("orders.card", 1, index_of(value), secrets.token_hex(12), os.urandom(40), NOW)
    return replace(row, **changes)


def statements_of(store):
    """A list that every statement is written to."""
    said = []
    event.listen(
        store.database.engine,
        "before_cursor_execute",
        lambda *arguments: said.append(arguments[2].split()[0]),
    )
    return said


def tokenize(store, values):
    """What a transform does with a slice: find, add what is missing, read back what others added first."""
    indexes = {index_of(value): value for value in values}
    found = store.vault.tokens("orders.card", 1, indexes)
    while missing := indexes.keys() - found.keys():
        store.vault.add([row_of(indexes[index]) for index in missing])
        found |= store.vault.tokens("orders.card", 1, missing)
    return {indexes[index]: token for index, token in found.items()}


def test_entries_come_back_as_they_went_in(store):
    row = row_of("ana", expires_at=NOW + timedelta(days=30))
    assert store.vault.tokens("orders.card", 1, [index_of("ana")]) == {}
    assert store.vault.add([row]) == {row.token}
    assert store.vault.tokens("orders.card", 1, [index_of("ana")]) == {index_of("ana"): row.token}
    assert store.vault.find("orders.card", [row.token, "unknown"]) == {row.token: row}


def test_nothing_asks_for_nothing(store):
    assert store.vault.add([]) == set()
    assert store.vault.tokens("orders.card", 1, []) == {}
    assert store.vault.find("orders.card", []) == {}


def test_entries_belong_to_their_element_and_version(store):
    row = row_of("ana")
    others = [row_of("ana", element="orders.phone"), row_of("ana", version=2)]
    store.vault.add([row, *others])
    assert store.vault.tokens("orders.card", 1, [index_of("ana")]) == {index_of("ana"): row.token}
    assert store.vault.find("orders.card", [others[0].token]) == {}
    same_token = row_of("bea", element="orders.phone", token=row.token)
    assert store.vault.add([same_token]) == {row.token}
    assert store.vault.find("orders.phone", [row.token]) == {row.token: same_token}


def test_a_value_has_one_token_and_a_token_one_value(store):
    row = row_of("ana")
    store.vault.add([row])
    again, taken, fresh = row_of("ana"), row_of("bea", token=row.token), row_of("cyd")
    assert store.vault.add([again, taken, fresh]) == {fresh.token}
    found = store.vault.tokens("orders.card", 1, map(index_of, ["ana", "bea", "cyd"]))
    assert found == {index_of("ana"): row.token, index_of("cyd"): fresh.token}


def test_rows_of_one_call_that_exclude_each_other(store):
    one, other = row_of("ana"), row_of("ana")
    kept = store.vault.add([one, other])
    assert len(kept) == 1
    assert set(store.vault.tokens("orders.card", 1, [index_of("ana")]).values()) == kept


@pytest.mark.parametrize("count", [1, 128, 1000])
def test_a_slice_is_one_statement_each_way(store, count):
    rows = [row_of(number) for number in range(count)]
    said = statements_of(store)
    assert len(store.vault.add(rows)) == count
    assert len(store.vault.tokens("orders.card", 1, [row.index_hmac for row in rows])) == count
    assert len(store.vault.find("orders.card", [row.token for row in rows])) == count
    assert said == ["INSERT", "SELECT", "SELECT"]


def test_columns_of_any_length(store, monkeypatch):
    monkeypatch.setattr(database, "AT_ONCE", 1000)
    rows = [row_of(number) for number in range(2500)]
    assert len(store.vault.add(rows)) == 2500
    assert store.vault.tokens("orders.card", 1, map(index_of, range(-10, 2510))) == {
        row.index_hmac: row.token for row in rows
    }


def test_the_longest_statements_that_are_made(store):
    rows = [row_of(number) for number in range(database.AT_ONCE + 1)]
    assert len(store.vault.add(rows)) == len(rows)
    assert len(store.vault.tokens("orders.card", 1, [row.index_hmac for row in rows])) == len(rows)


def test_expired_entries_lose_their_value_and_keep_their_token(store):
    kept, later, due = (
        row_of(name, expires_at=expires)
        for name, expires in [("kept", None), ("later", NOW + timedelta(seconds=1)), ("due", NOW)]
    )
    store.vault.add([kept, later, due])
    assert store.vault.expire(NOW) == 1
    assert store.vault.expire(NOW) == 0
    assert store.vault.find("orders.card", [due.token]) == {
        due.token: replace(due, index_hmac=None, sealed=None)
    }
    found = store.vault.tokens("orders.card", 1, map(index_of, ["kept", "later", "due"]))
    assert found == {index_of("kept"): kept.token, index_of("later"): later.token}
    assert store.vault.add([row_of("somebody else", token=due.token)]) == set()
    back = row_of("due")
    assert store.vault.add([back]) == {back.token}
    assert store.vault.expire(NOW + timedelta(days=1)) == 1


def test_nothing_of_a_row_is_printed():
    row = row_of("ana")
    assert row.token not in repr(row)
    assert "sealed" not in repr(row)
    assert "index_hmac" not in repr(row)


def test_all_who_tokenize_the_same_values_at_once_agree(url, opened):
    """Threads with connections of their own, values in different orders, some seen before."""
    opened(url)
    start = Barrier(6)

    def work(number):
        store = opened(url)
        values = [f"value {(index * 7 + number * 131) % 600}" for index in range(600)]
        start.wait()
        tokens = {}
        for begin in range(0, 600, 100):
            tokens |= tokenize(store, values[begin : begin + 100])
        return tokens

    with ThreadPoolExecutor(6) as threads:
        first, *others = threads.map(work, range(6))
    assert len(first) == 600
    assert all(other == first for other in others)
    assert len(set(first.values())) == 600
