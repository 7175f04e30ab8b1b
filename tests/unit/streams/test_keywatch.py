"""Whether keys can be had: noticed when it changes, and when there is no answer at all."""

import threading
import time

import pytest

from streamguard.errors import KeysUnavailableError
from streamguard.streams import keywatch
from streamguard.streams.keywatch import KeyWatch
from tests.waiting import until


class Keys:
    """A keyring that answers, refuses, or keeps one waiting."""

    def __init__(self):
        self.away = False
        self.silent = False
        self.confirmed = self.asked = 0
        self.go_on = threading.Event()

    def health(self):
        self.asked += 1
        if self.silent:
            self.go_on.wait()
        if self.away:
            raise KeysUnavailableError("The KMS does not answer.")

    def confirm(self):
        self.confirmed += 1


@pytest.fixture
def keys():
    return Keys()


@pytest.fixture
def watch(keys, monkeypatch):
    monkeypatch.setattr(keywatch, "ASKED_EVERY", 0.01)
    monkeypatch.setattr(keywatch, "CONFIRMED_EVERY", 0.05)
    watch = KeyWatch(keys)
    watch.start()
    yield watch
    keys.go_on.set()
    watch.stop()


def test_a_refusal_shows_and_so_does_the_end_of_it(watch, keys, caplog):
    until(lambda: keys.asked > 3)
    assert watch.well
    caplog.clear()
    with caplog.at_level("INFO"):
        keys.away = True
        until(lambda: not watch.well)
        asked = keys.asked
        until(lambda: keys.asked > asked + 3)
        keys.away = False
        until(lambda: watch.well)
    assert caplog.messages == ["keys.unavailable", "keys.available"]


def test_silence_is_an_answer_too(watch, keys, monkeypatch):
    monkeypatch.setattr(keywatch, "ANSWERED_WITHIN", 0.05)
    keys.silent = True
    until(lambda: not watch.well)
    keys.silent = False
    keys.go_on.set()
    until(lambda: watch.well)


def test_keys_in_use_are_held_against_the_store_now_and_then(watch, keys):
    until(lambda: keys.confirmed >= 3)
    assert keys.asked > keys.confirmed


def test_a_stop_does_not_wait_for_an_answer(watch, keys):
    keys.silent = True
    asked = keys.asked
    until(lambda: keys.asked > asked)
    began = time.monotonic()
    watch.stop()
    assert time.monotonic() - began < 10  # and not for ever


def test_seconds_add_up_to_less_than_five():
    """The longest way of the news: the next question, its silence, a child's report to its parent."""
    from streamguard.streams.app import _STATUS_EVERY

    assert keywatch.ASKED_EVERY + keywatch.ANSWERED_WITHIN + _STATUS_EVERY < 5
