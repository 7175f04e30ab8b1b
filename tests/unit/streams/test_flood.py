"""When a lane is told that this is no ordinary share of violations any more."""

from streamguard.policy.models import ViolationLimit
from streamguard.streams.flood import Flood

HALF_OF_A_HUNDRED = ViolationLimit(ratio=0.5, per=100)


def rises(flood, *slices):
    return [flood.rises(10, violations) for violations in slices]


def test_nothing_is_judged_before_there_are_enough_records():
    assert rises(Flood(HALF_OF_A_HUNDRED), *[10] * 9) == [False] * 9


def test_more_than_the_share_is_a_flood_and_the_share_itself_is_none():
    assert rises(Flood(HALF_OF_A_HUNDRED), *[5] * 20) == [False] * 20
    assert rises(Flood(HALF_OF_A_HUNDRED), *[5] * 9, 6) == [False] * 9 + [True]


def test_only_the_latest_records_count():
    flood = Flood(HALF_OF_A_HUNDRED)
    assert not any(rises(flood, *[0] * 50, *[10] * 5))
    assert rises(flood, 10) == [True]


def test_what_is_forgotten_is_counted_anew():
    flood = Flood(HALF_OF_A_HUNDRED)
    assert rises(flood, *[10] * 10)[-1]
    flood.forget()
    assert rises(flood, *[10] * 10) == [False] * 9 + [True]


def test_a_flood_that_is_allowed_passes_and_the_next_one_does_not():
    flood = Flood(HALF_OF_A_HUNDRED)
    assert rises(flood, *[10] * 10)[-1]
    flood.allow()
    assert not any(rises(flood, *[10] * 100))
    flood.forget()  # a transaction was undone meanwhile
    assert not any(rises(flood, *[10] * 100))
    assert not any(rises(flood, *[0] * 10))
    assert any(rises(flood, *[10] * 10))


def test_switched_off_it_never_rises():
    assert not any(rises(Flood("off"), *[10] * 1000))
