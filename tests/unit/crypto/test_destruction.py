"""Destroying keys with one person, and with two."""

from datetime import UTC, datetime, timedelta

import pytest

from streamguard.access.audit import Event, Trail
from streamguard.crypto.datakey import TRAIL
from streamguard.crypto.destruction import Outcome, destroy, to_destroy
from streamguard.crypto.keyring import Keyring
from streamguard.crypto.kms.local import LocalKms, generate
from streamguard.errors import ConfigError
from streamguard.store.store import open_store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def store(tmp_path):
    return open_store(f"sqlite:///{tmp_path}/keys.db")


@pytest.fixture
def keyring(store):
    return Keyring(store, LocalKms([generate()]))


@pytest.fixture
def by(store):
    """What becomes of all keys of 'email' when somebody wants them destroyed, under the rule of two."""

    def by(who, hours=0):
        rows = to_destroy(store, element="email")
        return destroy(store, rows, who, persons=2, within=DAY, now=NOON + timedelta(hours=hours))

    return by


def test_one_person_destroys_at_once(store, keyring):
    one, other = keyring.pinned("email"), keyring.fresh("orders", "email", 1)
    kept = keyring.pinned("phone")
    assert destroy(store, to_destroy(store, key_id=one.id), "ada") == Outcome([one.id], [])
    assert destroy(store, to_destroy(store, element="email"), "ada") == Outcome([other.id], [])
    assert to_destroy(store, element="email") == to_destroy(store, key_id=one.id) == []
    assert store.keys.get(kept.id).wrapped is not None


def test_a_second_person_has_to_agree(store, keyring, by):
    key = keyring.pinned("email")
    assert by("ada") == Outcome([], [key.id])
    assert by("ada", hours=1) == Outcome([], [key.id])
    assert store.keys.get(key.id).wrapped is not None
    assert by("bob", hours=2) == Outcome([key.id], [])
    row = store.keys.get(key.id)
    assert (row.wrapped, row.destruction_asked_by) == (None, "ada")


def test_a_request_runs_out(keyring, by):
    key = keyring.pinned("email")
    by("ada")
    assert by("bob", hours=24) == Outcome([], [key.id])  # too late: this is now the first request
    assert by("bob", hours=25) == Outcome([], [key.id])
    assert by("ada", hours=26) == Outcome([key.id], [])


def test_asking_again_does_not_prolong_a_request(keyring, by):
    key = keyring.pinned("email")
    by("ada")
    by("ada", hours=23)
    assert by("bob", hours=25) == Outcome([], [key.id])


def test_keys_that_nobody_asked_for_wait(keyring, by):
    first = keyring.pinned("email")
    by("ada")
    second = keyring.fresh("orders", "email", 1)
    assert by("bob", hours=1) == Outcome([first.id], [second.id])
    assert by("bob", hours=2) == Outcome([], [second.id])
    assert by("ada", hours=3) == Outcome([second.id], [])


def test_keys_that_find_people_are_not_destroyed(store, keyring):
    keyring.subjects.keys("customer", ["C1"])
    with pytest.raises(ConfigError, match="erasure"):
        to_destroy(store, element="subject:customer")


def test_the_trails_key_is_not_destroyed(store, keyring):
    Trail(keyring).record([Event("local:ada", "reveal", "revealed", "email", ("sg1.e.K.A",))])
    pinned = keyring.pinned(TRAIL)
    for which in ({"element": TRAIL}, {"key_id": pinned.id}):
        with pytest.raises(ConfigError, match="audit trail"):
            to_destroy(store, **which)


def test_what_is_not_there_is_not_destroyed(store):
    for which in ({"key_id": "unknown"}, {"element": "unknown"}):
        with pytest.raises(ConfigError, match="no such key"):
            to_destroy(store, **which)
