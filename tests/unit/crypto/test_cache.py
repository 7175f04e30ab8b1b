"""Values that are kept for a while, and no more than so many of them."""

import pytest

from streamguard.crypto.cache import Cache


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def cache(now):
    return Cache(60.0, 3, lambda: now[0])


def test_values_stay_for_their_time(cache, now):
    cache.put("a", 1)
    now[0] = 59
    assert cache.get("a") == 1
    now[0] = 60
    assert cache.get("a") is None
    assert len(cache) == 0


def test_the_oldest_makes_room(cache):
    for name in "abcd":
        cache.put(name, name)
    assert cache.get_many("abcde") == {"b": "b", "c": "c", "d": "d"}


def test_what_is_put_again_begins_anew(cache, now):
    for name in "abc":
        cache.put(name, 1)
    now[0] = 30
    cache.put("a", 2)
    cache.put("d", 3)
    assert cache.get_many("abcd") == {"a": 2, "c": 1, "d": 3}
    now[0] = 60
    assert cache.get_many("abcd") == {"a": 2, "d": 3}


def test_what_is_popped_is_gone(cache):
    cache.put("a", 1)
    cache.pop("a")
    cache.pop("a")
    assert cache.get("a") is None
