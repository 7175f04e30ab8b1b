"""A keyring on a store and a master key whose every question is counted, and the time moved by hand."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from streamguard.crypto.keyring import Keyring
from streamguard.crypto.kms.local import LocalKms, generate
from streamguard.errors import KeysUnavailableError
from streamguard.store.store import open_store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    """Seconds and the time of day, moved by hand."""

    def __init__(self):
        self.seconds = 1000.0

    def clock(self):
        return self.seconds

    def now(self):
        return NOON + timedelta(seconds=self.seconds - 1000)

    def move(self, **time):
        self.seconds += timedelta(**time).total_seconds()


class CountingKms(LocalKms):
    """The local provider, which can be away and counts what it is asked."""

    def __init__(self):
        super().__init__([generate()])
        self.asked = Counter()
        self.away = False

    def _ask(self, what):
        self.asked[what] += 1
        if self.away:
            raise KeysUnavailableError("The KMS does not answer.")

    def wrap(self, secret):
        self._ask("wrap")
        return super().wrap(secret)

    def unwrap(self, wrapped):
        self._ask("unwrap")
        return super().unwrap(wrapped)

    def health(self):
        self._ask("health")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def kms():
    return CountingKms()


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/keys.db"


@pytest.fixture
def keyring(url, kms, clock):
    return Keyring(open_store(url), kms, clock=clock.clock, now=clock.now)


@pytest.fixture
def another(url, kms, clock):
    """Another process's keyring on the same store and master key."""
    return Keyring(open_store(url), kms, clock=clock.clock, now=clock.now)
