"""From one master key to another: every key, once, whatever happens meanwhile."""

from datetime import timedelta

import pytest

from streamguard.crypto.keyring import Keyring
from streamguard.crypto.kms.local import LocalKms, generate
from streamguard.crypto.rewrap import rewrap
from streamguard.errors import KeysUnavailableError
from streamguard.store.store import open_store

OLD, NEW = generate(), generate()


class Progress:
    """What was told on the way; `then` is done at the third key."""

    def __init__(self, then=lambda: None):
        self.told = []
        self._then = then

    def __call__(self, completed, total):
        self.told.append((completed, total))
        if len(self.told) == 3:
            self._then()


@pytest.fixture
def store(tmp_path):
    return open_store(f"sqlite:///{tmp_path}/keys.db")


@pytest.fixture
def both():
    """The new master key wraps, the old one still unwraps."""
    return LocalKms([OLD, NEW])


@pytest.fixture
def keys(store):
    """Keys of every purpose, under the old master key."""
    keyring = Keyring(store, LocalKms([OLD]))
    return [
        *(keyring.pinned(f"element{number}") for number in range(5)),
        *(keyring.fresh("orders", f"element{number}", 1) for number in range(3)),
        keyring.quarantine("orders", timedelta(days=1)),
        *keyring.subjects.keys("customer", ["C1", "C2"]),
    ]


def test_every_key_moves_and_stays_what_it_is(store, both, keys):
    wrapped = {row.id: row.wrapped for row in store.keys.all()}
    progress = Progress()
    done = rewrap(store, both, progress)
    assert (done.moved, done.failed) == (10, {})  # the pinned key behind the subjects is one of them
    assert progress.told == [(number, 10) for number in range(1, 11)]
    assert store.keys.masters() == {both.name: 10}
    alone = Keyring(store, LocalKms([NEW]))
    assert [alone.find(key.id) for key in keys[:9]] == keys[:9]
    assert alone.subjects.find_many(key.id for key in keys[9:]) == {key.id: key for key in keys[9:]}
    assert all(row.wrapped != wrapped[row.id] for row in store.keys.all())
    assert rewrap(store, both, progress).moved == 0


def test_the_old_form_leaves_the_disk(store, both, keys, tmp_path):
    def on_disk():
        return b"".join(path.read_bytes() for path in tmp_path.iterdir())

    wrapped = [row.wrapped for row in store.keys.all()]
    assert all(form in on_disk() for form in wrapped)
    rewrap(store, both, Progress())
    assert not any(form in on_disk() for form in wrapped)


def test_what_was_interrupted_goes_on(store, both, keys):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rewrap(store, both, Progress(interrupt))
    assert store.keys.masters() == {both.name: 3, LocalKms([OLD]).name: 7}
    progress = Progress()
    assert rewrap(store, both, progress).moved == 7
    assert progress.told[-1] == (7, 7)


def test_keys_that_are_added_and_destroyed_meanwhile(store, both, keys):
    """A service that still has the old configuration adds one, and somebody destroys one that was read already."""
    last = store.keys.all()[-1]
    late = Keyring(store, LocalKms([OLD]))

    def meanwhile():
        late.fresh("payments", "late", 1)
        late.destroy([last.id])

    done = rewrap(store, both, Progress(meanwhile))
    assert (done.moved, done.failed) == (10, {})
    assert store.keys.masters() == {both.name: 10}
    assert store.keys.get(last.id).wrapped is None


def test_keys_that_cannot_be_unwrapped_stay_and_are_named(store, keys):
    stranger = Keyring(store, LocalKms([generate()])).fresh("orders", "element0", 1)
    new = LocalKms([OLD, NEW])
    done = rewrap(store, new, Progress())
    assert done.moved == 10
    assert done.failed.keys() == {stranger.id}
    assert "another master key" in done.failed[stranger.id]


def test_a_key_service_that_goes_away_ends_it_and_nothing_is_lost(store, both, keys):
    class Leaving(LocalKms):
        away = False

        def wrap(self, secret):
            self.health()
            return super().wrap(secret)

        def health(self):
            if self.away:
                raise KeysUnavailableError("The KMS does not answer.")

    leaving = Leaving([OLD, NEW])
    with pytest.raises(KeysUnavailableError, match="does not answer"):
        rewrap(store, leaving, Progress(lambda: setattr(leaving, "away", True)))
    assert store.keys.masters() == {both.name: 3, LocalKms([OLD]).name: 7}
    assert [Keyring(store, both).find(key.id) for key in keys[:9]] == keys[:9]


def test_a_master_key_that_returns_something_else_takes_no_key(store, keys):
    class Forgetful(LocalKms):
        def wrap(self, secret):
            return super().wrap(bytes(32))

    done = rewrap(store, Forgetful([OLD, NEW]), Progress())
    assert done.moved == 0
    assert len(done.failed) == 10
    assert [Keyring(store, LocalKms([OLD])).find(key.id) for key in keys[:9]] == keys[:9]
