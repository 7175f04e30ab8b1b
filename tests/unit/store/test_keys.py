"""The data keys, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, timedelta, timezone

from tests.unit.store.rows import NOW, PINNED, ROW


def test_a_key_comes_back_as_it_went_in(store):
    row = replace(ROW, destroy_after=NOW + timedelta(days=14))
    assert store.keys.get(ROW.id) is None
    assert store.keys.add(row)
    assert store.keys.get(ROW.id) == row
    assert store.keys.all() == [row]
    assert store.keys.get(ROW.id).created_at.tzinfo is UTC


def test_times_are_utc_whatever_their_zone(store):
    tokyo = timezone(timedelta(hours=9))
    store.keys.add(replace(ROW, created_at=NOW.astimezone(tokyo), destroy_after=NOW.astimezone(tokyo)))
    assert store.keys.get(ROW.id).created_at == NOW
    assert store.keys.destroy_expired((NOW - timedelta(seconds=1)).astimezone(tokyo)) == []
    assert store.keys.destroy_expired(NOW.astimezone(tokyo)) == [ROW.id]


def test_an_id_is_given_once(store):
    assert store.keys.add(ROW)
    assert not store.keys.add(replace(ROW, element="phone", wrapped=b"other"))
    assert store.keys.all() == [ROW]


def test_a_version_of_an_element_is_given_once(store):
    assert store.keys.add(PINNED)
    assert not store.keys.add(replace(PINNED, id="other"))
    assert store.keys.add(replace(PINNED, id="newer", version=2))
    assert store.keys.add(replace(PINNED, id="phone", element="phone"))
    assert store.keys.pinned("orders.email").id == "newer"


def test_keys_without_a_version_are_as_many_as_one_likes(store):
    assert all(store.keys.add(replace(ROW, id=f"key{number}")) for number in range(5))
    assert store.keys.pinned("orders.email") is None


def test_keys_are_listed_oldest_first(store):
    for number in (2, 0, 1):
        store.keys.add(replace(ROW, id=f"key{number}", created_at=NOW + timedelta(seconds=number)))
    assert [row.id for row in store.keys.all()] == ["key0", "key1", "key2"]


def test_expired_keys_are_destroyed_once_and_no_others(store):
    times = {"kept": None, "later": NOW + timedelta(seconds=1), "now": NOW, "past": NOW - timedelta(days=400)}
    for key_id, destroy_after in times.items():
        store.keys.add(replace(ROW, id=key_id, destroy_after=destroy_after))
    assert sorted(store.keys.destroy_expired(NOW)) == ["now", "past"]
    assert store.keys.destroy_expired(NOW) == []
    assert {row.id: (row.wrapped, row.destroyed_at) for row in store.keys.all()} == {
        "kept": (ROW.wrapped, None),
        "later": (ROW.wrapped, None),
        "now": (None, NOW),
        "past": (None, NOW),
    }


def test_many_threads_write_at_once(store):
    with ThreadPoolExecutor(8) as threads:
        added = threads.map(
            lambda number: store.keys.add(replace(PINNED, id=f"key{number}", version=number % 50)), range(200)
        )
    assert sum(added) == 50


def test_a_version_that_is_named(store):
    for version in (1, 2, 3):
        store.keys.add(replace(PINNED, id=f"version{version}", version=version))
    assert store.keys.pinned("orders.email", 2).id == "version2"
    assert store.keys.pinned("orders.email", 4) is None
    assert store.keys.pinned("phone", 1) is None


def test_keys_are_destroyed_once_and_no_others(store):
    for key_id in ("one", "two", "three"):
        store.keys.add(replace(ROW, id=key_id))
    assert sorted(store.keys.destroy(["one", "two", "unknown"], NOW)) == ["one", "two"]
    assert store.keys.destroy(["one"], NOW + timedelta(days=1)) == []
    assert {row.id: (row.wrapped, row.destroyed_at) for row in store.keys.all()} == {
        "one": (None, NOW),
        "two": (None, NOW),
        "three": (ROW.wrapped, None),
    }


def test_a_key_is_wrapped_anew_unless_it_changed_meanwhile(store):
    store.keys.add(ROW)
    assert store.keys.rewrap(ROW, b"under the new one", "local:4a0b")
    assert store.keys.get(ROW.id) == replace(ROW, wrapped=b"under the new one", master="local:4a0b")
    assert not store.keys.rewrap(ROW, b"under another", "local:5c1d")
    store.keys.destroy([ROW.id], NOW)
    assert not store.keys.rewrap(replace(ROW, wrapped=None), b"back again", "local:5c1d")
    assert store.keys.get(ROW.id).wrapped is None


def test_versions_and_the_newest_of_each_element(store):
    for version in (2, 1, 3):
        store.keys.add(replace(PINNED, id=f"version{version}", version=version))
    store.keys.add(replace(PINNED, id="phone", element="phone"))
    store.keys.add(ROW)
    store.keys.destroy(["version3"], NOW)
    assert [row.id for row in store.keys.versions("orders.email")] == ["version1", "version2", "version3"]
    assert {row.id for row in store.keys.of_element("orders.email")} == {
        "version1", "version2", "version3", ROW.id
    }  # fmt: skip
    assert store.keys.newest(["orders.email", "phone", "unknown"]) == {
        "orders.email": "version3", "phone": "phone"
    }  # fmt: skip
    assert store.keys.newest([]) == {}


def test_who_lives_and_under_which_master_key(store):
    for key_id, master in (("one", "local:a"), ("two", "local:a"), ("three", "local:b"), ("four", "local:c")):
        store.keys.add(replace(ROW, id=key_id, master=master))
    store.keys.destroy(["four", "two"], NOW)
    assert store.keys.living(["one", "two", "four", "unknown"]) == {"one"}
    assert store.keys.living([]) == set()
    assert store.keys.masters() == {"local:a": 1, "local:b": 1}


def test_who_asked_for_a_destruction_is_noted_unless_it_is_done(store):
    for key_id in ("one", "two"):
        store.keys.add(replace(ROW, id=key_id))
    store.keys.destroy(["two"], NOW)
    store.keys.ask_destruction(["one", "two", "unknown"], "ada", NOW)
    one, two = store.keys.get("one"), store.keys.get("two")
    assert (one.destruction_asked_by, one.destruction_asked_at) == ("ada", NOW)
    assert two.destruction_asked_by is None
