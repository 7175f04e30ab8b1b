"""Telling a rival from a mishap."""

import pytest

from streamguard.streams.rivals import Rivals, SlotInUseError


class Clock:
    """Seconds that pass when they are told to."""

    now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_fenced_twice_within_a_minute_there_is_a_rival(clock):
    rivals = Rivals("orders-1", clock)
    rivals.fenced()
    clock.now += 59
    with pytest.raises(SlotInUseError, match="'orders-1' is in use elsewhere"):
        rivals.fenced()


def test_fenced_again_much_later_is_another_mishap(clock):
    rivals = Rivals("orders-1", clock)
    rivals.fenced()
    clock.now += 61
    rivals.fenced()


def test_a_lost_connection_explains_any_number(clock):
    rivals = Rivals("orders-1", clock)
    rivals.disconnected()
    for _ in range(3):
        rivals.fenced()
        clock.now += 10
    clock.now += 60
    rivals.fenced()
    clock.now += 1
    with pytest.raises(SlotInUseError):
        rivals.fenced()
