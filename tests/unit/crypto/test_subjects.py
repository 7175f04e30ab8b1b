"""Subjects' keys: one for each person, the same for all processes, and gone for ever once destroyed."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import event

from streamguard.crypto.keyring import Keyring
from streamguard.errors import KeyMissingError, KeysUnavailableError
from streamguard.store.store import open_store

PEOPLE = [f"C{number:05}" for number in range(200)]


@pytest.fixture
def statements(keyring):
    """What `keyring` asked its store."""
    seen = []
    engine = keyring._store.database.engine
    event.listen(engine, "before_cursor_execute", lambda *arguments: seen.append(arguments[2]))
    return seen


def ids(keys):
    return [key.id for key in keys]


def test_one_key_for_each_person_the_same_for_all_processes(keyring, another):
    keys = keyring.subjects.keys("customer", [*PEOPLE, *reversed(PEOPLE)])
    assert len(keys) == 400
    assert keys[:200] == keys[:199:-1]
    assert len({key.secret for key in keys}) == len(set(ids(keys))) == 200
    assert another.subjects.keys("customer", PEOPLE) == keys[:200]
    assert {key.element for key in keys} == {"subject:customer"}
    assert keyring.subjects.keys("patient", ["C00001"]) != another.subjects.keys("customer", ["C00001"])
    assert keyring.subjects.keys("customer", []) == []


def test_a_column_costs_a_query_and_two_statements_for_those_who_are_new(keyring, statements, clock, kms):
    keyring.subjects.keys("customer", ["somebody"])
    statements.clear()
    kms.asked.clear()
    keyring.subjects.keys("customer", PEOPLE)
    assert len(statements) == 3
    statements.clear()
    keyring.subjects.keys("customer", PEOPLE)
    assert statements == []
    clock.move(seconds=59)
    keyring.subjects.keys("customer", PEOPLE)
    assert statements == []
    keyring.confirm()
    statements.clear()
    clock.move(seconds=1)
    keyring.subjects.keys("customer", PEOPLE)
    assert len(statements) == 1
    assert not kms.asked  # new people or known ones: it is the pinned key that wraps them


def test_nobody_is_named_in_the_store(keyring, tmp_path):
    (key,) = keyring.subjects.keys("customer", ["Ada Lovelace"])
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert key.id.encode() in files
    assert b"Ada Lovelace" not in files
    assert key.secret not in files


def test_keys_are_found_by_their_ids(keyring, another, statements):
    keys = keyring.subjects.keys("customer", PEOPLE)
    assert another.subjects.find(keys[7].id) == keys[7]
    statements.clear()
    assert keyring.subjects.find_many(ids(keys)) == dict(zip(ids(keys), keys, strict=True))
    assert statements == []
    assert another.subjects.find_many([keys[0].id, "unknown"]) == {keys[0].id: keys[0]}
    with pytest.raises(KeyMissingError, match="not in this store"):
        another.subjects.find("unknown")


def test_a_destroyed_key_is_gone_here_at_once_and_elsewhere_within_a_minute(keyring, another, clock):
    keys = dict(zip(PEOPLE, keyring.subjects.keys("customer", PEOPLE), strict=True))
    another.subjects.keys("customer", PEOPLE)
    assert keyring.subjects.destroy("customer", ["C00003", "nobody"]) == 1
    assert keyring.subjects.destroy("customer", ["C00003"]) == 0
    for one in (keyring, another):
        with pytest.raises(KeyMissingError, match="destroyed"):
            one.subjects.find(keys["C00003"].id)
        clock.move(seconds=60)
    assert another.subjects.find_many(ids(keys.values())).keys() == {
        key.id for person, key in keys.items() if person != "C00003"
    }
    # Who comes back is somebody new; all others stay who they were.
    again = another.subjects.keys("customer", PEOPLE)
    assert [key.id for key in again if key.id not in ids(keys.values())] == [again[3].id]
    assert keyring.subjects.keys("customer", PEOPLE) == again


def test_people_are_found_for_erasure_after_a_rotation(keyring, another):
    (before,) = keyring.subjects.keys("customer", ["C00001"])
    keyring.rotate("subject:customer")
    (after,) = keyring.subjects.keys("customer", ["C00001"])
    assert before.id != after.id
    references = another.subjects.references("customer", "C00001")
    assert len(references) == 2
    assert another.subjects.find_many([before.id, after.id]).keys() == {before.id, after.id}
    assert another.subjects.destroy_references(references) == 2
    with pytest.raises(KeyMissingError):
        another.subjects.find(before.id)


def test_an_element_that_nobody_used_has_no_references_and_gets_no_key(keyring, url):
    assert keyring.subjects.references("customer", "C00001") == []
    assert keyring.subjects.destroy("customer", ["C00001"]) == 0
    assert open_store(url).keys.all() == []


def test_known_people_need_no_kms_and_new_ones_neither(keyring, kms, clock):
    known = keyring.subjects.keys("customer", ["C00001"])
    kms.away = True
    clock.move(hours=6)
    assert keyring.subjects.keys("customer", ["C00001"]) == known
    assert keyring.subjects.keys("customer", ["C00002"]) != known


def test_without_the_store_there_are_no_keys(keyring, tmp_path, clock):
    keyring.subjects.keys("customer", ["C00001"])
    (tmp_path / "keys.db").rename(tmp_path / "away.db")
    (tmp_path / "keys.db").mkdir()
    clock.move(seconds=30)
    keyring.subjects.keys("customer", ["C00001"])
    clock.move(seconds=30)
    with pytest.raises(KeysUnavailableError):
        keyring.subjects.keys("customer", ["C00001"])


def test_a_key_that_was_moved_to_another_person_does_not_open(keyring, another, clock, url):
    keyring.subjects.keys("customer", ["C00001", "C00002"])
    subjects = open_store(url).subjects
    references = [keyring.subjects.references("customer", person)[0] for person in ("C00001", "C00002")]
    rows = subjects.by_reference(references)
    one, other = (rows[reference] for reference in references)
    subjects.destroy([one.reference], clock.now())
    subjects.add([replace(one, id="another", wrapped=other.wrapped)])
    with pytest.raises(KeysUnavailableError, match="damaged"):
        another.subjects.keys("customer", ["C00001"])


def test_the_cache_is_bounded(keyring, monkeypatch):
    monkeypatch.setattr(keyring.subjects._by_id, "most", 30)
    monkeypatch.setattr(keyring.subjects._by_reference, "most", 30)
    keys = keyring.subjects.keys("customer", PEOPLE)
    assert len(keyring.subjects._by_id) <= 30
    assert len(keyring.subjects._by_reference) <= 30
    assert keyring.subjects.keys("customer", PEOPLE) == keys


def test_many_threads_ask_for_the_same_people(url, kms):
    keyrings = [Keyring(open_store(url), kms) for _ in range(4)]
    start = threading.Barrier(4)

    def ask(keyring):
        start.wait()
        return [keyring.subjects.keys("customer", PEOPLE[n : n + 20]) for n in range(0, 200, 20)]

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(ask, keyrings))
    assert all(answer == answers[0] for answer in answers)
