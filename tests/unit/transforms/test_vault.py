"""`vault`: one random token per value whoever asks, sealed in the store, gone for good when its time is over."""

import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import event, update

from streamguard.crypto.keyring import Keyring
from streamguard.crypto.kms.local import LocalKms, generate
from streamguard.errors import KeyMissingError, KeysUnavailableError, TokenError
from streamguard.store.store import open_store
from streamguard.store.tables import vault_entries
from streamguard.transforms.base import Origin
from streamguard.transforms.luhn import is_valid
from tests.unit.transforms.support import applied, compiled, json_values, outputs
from tests.unit.transforms.test_encrypt import same

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Clock:
    """The time of day, as a test sets it."""

    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def keyring(clock):
    return Keyring(open_store("sqlite://"), LocalKms([generate()]), now=clock)


def back(transform, tokens):
    return transform.reverse(tokens, [Origin()] * len(tokens))


def statements_of(keyring):
    said = []
    event.listen(
        keyring.store.database.engine,
        "before_cursor_execute",
        lambda *arguments: said.append(arguments[2].split()[0]),
    )
    return said


def test_what_no_token_can_be_does_not_reach_the_store(keyring, monkeypatch):
    """PostgreSQL takes no NUL in a text: one such value would make the store seem away for all of the request."""
    transform = compiled("vault", keyring=keyring)
    (token,) = outputs(transform, ["ana"])
    find, asked = keyring.store.vault.find, []
    monkeypatch.setattr(
        keyring.store.vault, "find", lambda element, texts: asked.extend(texts) or find(element, texts)
    )
    value, refused = back(transform, [token, token + "\0"])
    assert (value, type(refused)) == ("ana", TokenError)
    assert asked == [token]


@given(st.lists(json_values | st.binary(), max_size=5), st.sampled_from(["random", "uuid"]))
def test_every_value_comes_back_with_its_type(values, shape):
    transform = compiled("vault", {"shape": shape})
    tokens = outputs(transform, values)
    assert all(same(one, other) for one, other in zip(back(transform, tokens), values, strict=True))
    assert outputs(compiled("vault", {"shape": shape}), values) == tokens


def test_equal_values_share_a_token_and_others_never_do():
    tokens = outputs(compiled("vault"), ["12", 12, "12", 12.0, "13"])
    assert tokens[0] == tokens[2]
    assert len(set(tokens)) == 4
    assert all(re.fullmatch("vt_[0-9a-f]{32}", token) for token in tokens)


def test_an_element_is_a_vault_of_its_own():
    one, other = compiled("vault", element="card"), compiled("vault", element="phone")
    (token,), (another,) = outputs(one, ["ana"]), outputs(other, ["ana"])
    assert token != another
    (found,) = back(other, [token])
    assert isinstance(found, TokenError)


@pytest.mark.parametrize("values", [["ana"], [f"value {number}" for number in range(128)]])
def test_a_column_is_one_query_and_new_values_one_statement_more(keyring, values):
    transform = compiled("vault", keyring=keyring)
    outputs(transform, ["warm"])
    said = statements_of(keyring)
    outputs(transform, values * 2)
    assert said == ["SELECT", "INSERT"]
    said.clear()
    outputs(transform, values)
    assert said == ["SELECT"]
    said.clear()
    back(transform, outputs(transform, values))
    assert said == ["SELECT"] * 2 + ["SELECT"] * (said.count("SELECT") - 2)
    assert len(said) <= 4


# -- shapes ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.text("09-. /aZéΩ", min_size=7, max_size=20), max_size=4))
def test_a_token_of_the_same_shape(values):
    def shape(text):
        return re.sub("[0-9]", "0", re.sub("[A-ZΩ]", "A", re.sub("[a-zé]", "a", text)))

    transform = compiled("vault", {"shape": "same"})
    column, rejected = applied(transform, values)
    refused = {row for row, _ in rejected}
    for row, (token, value) in enumerate(zip(column, values, strict=True)):
        if row not in refused:
            assert shape(token) == shape(value)
            assert token != value
            assert token.isascii()
            assert back(transform, [token]) == [value]


def test_no_token_could_be_a_card():
    transform = compiled("vault", {"shape": "same"})
    cards = [f"4111 1111-{number:04} 1111" for number in range(400)]
    tokens = outputs(transform, cards)
    assert len(set(tokens)) == 400
    assert not any(is_valid(re.sub("[- ]", "", token)) for token in tokens)
    assert all(re.fullmatch(r"\d{4} \d{4}-\d{4} \d{4}", token) for token in tokens)


def test_what_has_too_few_tokens_of_its_shape_is_refused():
    transform = compiled("vault", {"shape": "same"})
    column, rejected = applied(
        transform, ["12345", "1-2-3-4-5", "abcd", "", 1234567, None, "123456", "abcde"]
    )
    assert [row for row, code in rejected if code == "domain"] == [0, 1, 2, 3, 4, 5]
    assert [token is None for token in column] == [True] * 6 + [False] * 2


def test_uuids_are_of_version_4():
    (token,) = outputs(compiled("vault", {"shape": "uuid"}), ["ana"])
    assert uuid.UUID(token).version == 4


def test_when_no_token_is_left_the_value_is_a_violation(keyring, monkeypatch):
    transform = compiled("vault", {"shape": "same"}, keyring=keyring)
    monkeypatch.setattr(transform, "_make", lambda values: ["000000"] * len(values))
    assert applied(transform, ["123456"]) == (["000000"], [])
    assert applied(transform, ["654321", "123456"]) == ([None, "000000"], [(0, "full")])


def test_a_token_that_is_taken_is_drawn_again(keyring, monkeypatch):
    transform = compiled("vault", {"shape": "same"}, keyring=keyring)
    draws = iter([["000000"], ["000000", "000000"], ["000000", "111111"], ["222222"]])
    monkeypatch.setattr(transform, "_make", lambda values: next(draws)[: len(values)])
    assert outputs(transform, ["123456"]) == ["000000"]
    tokens = outputs(transform, ["654321", "765432"])
    assert set(tokens) <= {"111111", "222222"}
    assert back(transform, tokens) == ["654321", "765432"]


# -- several at once -------------------------------------------------------------------------------------------------


def test_threads_that_meet_the_same_values_at_once_agree(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/s.db")
    kms = LocalKms([generate()])
    values = [f"person {number}" for number in range(1500)]

    def work(turn):
        transform = compiled("vault", keyring=Keyring(store, kms))
        ordered = values[turn * 300 :] + values[: turn * 300]
        tokens = {}
        for start in range(0, len(ordered), 128):
            some = ordered[start : start + 128]
            tokens.update(zip(some, outputs(transform, some), strict=True))
        return tokens

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(work, range(4))
    assert all(other == first for other in others)
    assert len(set(first.values())) == len(values)
    store.close()


def test_a_store_that_is_away_stops_the_column(keyring):
    transform = compiled("vault", keyring=keyring)
    (token,) = outputs(transform, ["ana"])
    keyring.store.database.engine.dispose()  # what lived in memory is gone, and a new connection finds no tables
    with pytest.raises(KeysUnavailableError):
        applied(transform, ["ben"])
    with pytest.raises(KeysUnavailableError):
        back(transform, [token])


# -- time to live ----------------------------------------------------------------------------------------------------


def test_an_expired_token_stands_for_nothing_and_is_never_given_out_again(keyring, clock):
    transform = compiled("vault", {"ttl": "30d"}, keyring=keyring)
    (token,) = outputs(transform, ["ana"])
    clock.now = NOW + timedelta(days=30, seconds=-1)
    assert outputs(transform, ["ana"]) == [token]
    clock.now = NOW + timedelta(days=30)
    (expired,) = back(transform, [token])
    assert isinstance(expired, KeyMissingError)
    assert "expired" in str(expired)
    (another,) = outputs(transform, ["ana"])  # before anybody cleaned up
    assert another != token
    assert back(transform, [another]) == ["ana"]
    assert isinstance(back(transform, [token])[0], KeyMissingError)


def test_the_keyring_cleans_up(keyring, clock):
    transform = compiled("vault", {"ttl": "1h"}, keyring=keyring)
    (token,) = outputs(transform, ["ana"])
    clock.now = NOW + timedelta(hours=1)
    keyring.destroy_expired()
    (row,) = keyring.store.vault.find("orders.x", [token]).values()
    assert (row.sealed, row.index_hmac) == (None, None)


# -- what must not open ----------------------------------------------------------------------------------------------


def test_an_entry_that_was_edited_or_moved_does_not_open(keyring):
    transform = compiled("vault", keyring=keyring)
    ana, ben = outputs(transform, ["ana", "ben"])
    rows = keyring.store.vault.find("orders.x", [ana, ben])

    def seal(token, sealed):
        entry = vault_entries.c
        with keyring.store.database.writing() as connection:
            connection.execute(update(vault_entries).where(entry.token == token).values(sealed=sealed))

    seal(ana, rows[ben].sealed)
    assert isinstance(back(transform, [ana])[0], TokenError)
    for sealed in (b"", b"\0" * 12, rows[ana].sealed[:-1], rows[ana].sealed[:-1] + b"\0\0"):
        seal(ana, sealed)
        assert isinstance(back(transform, [ana])[0], TokenError)
    seal(ana, rows[ana].sealed)
    assert back(transform, [ana]) == ["ana"]


def test_what_is_no_token_of_ours_is_told(keyring):
    transform = compiled("vault", keyring=keyring)
    for found in back(transform, ["vt_" + "0" * 32, 12, None, [], ""]):
        assert isinstance(found, TokenError)


def test_after_a_rotation_old_tokens_open_and_values_get_new_ones(keyring):
    transform = compiled("vault", keyring=keyring)
    (old,) = outputs(transform, ["ana"])
    before = keyring.pinned("orders.x").id
    keyring.rotate("orders.x")
    (new,) = outputs(transform, ["ana"])
    assert old != new
    assert back(transform, [old, new]) == ["ana", "ana"]
    keyring.destroy([before])
    gone, still = back(transform, [old, new])
    assert isinstance(gone, KeyMissingError)
    assert still == "ana"


# -- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", [{"shape": "digits"}, {"prefix": "a.b"}, {"ttl": 30}, {"ttl": "soon"}, {"ttl": "0d"}]
)
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ValidationError):
        compiled("vault", wrong)


def test_what_check_says():
    assert compiled("vault", types=("boolean",)).check()
    assert "integer" in compiled("vault", {"shape": "same"}, types=("integer", "string")).check()
    assert compiled("vault", {"shape": "same"}, types=("string",)).check() is None
    assert compiled("vault", types=("object",)).check() is None


def test_rows_can_be_told_apart_by_version(keyring):
    transform = compiled("vault", keyring=keyring)
    (token,) = outputs(transform, ["ana"])
    (row,) = keyring.store.vault.find("orders.x", [token]).values()
    assert row == replace(row, element="orders.x", version=1, created_at=NOW, expires_at=None)
