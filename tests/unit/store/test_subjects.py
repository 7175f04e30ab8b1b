"""The keys of data subjects, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

from streamguard.store import database
from streamguard.store.subjects import SubjectRow
from tests.unit.store.rows import NOW


def row_of(number):
    reference = number.to_bytes(32)
    return SubjectRow(f"subject{number:09}", reference, "subject:customer", b"wrapped", "key:K7dq2mXw0a", NOW)


def test_keys_come_back_as_they_went_in(store):
    rows = [row_of(number) for number in range(3)]
    assert store.subjects.add(rows) == {row.id for row in rows}
    assert store.subjects.by_reference([rows[0].reference, b"unknown"]) == {rows[0].reference: rows[0]}
    assert store.subjects.by_id([rows[2].id, "unknown"]) == {rows[2].id: rows[2]}
    assert store.subjects.by_reference([]) == store.subjects.by_id([]) == {}
    assert store.subjects.add([]) == set()


def test_a_subject_has_one_key_and_an_id_is_given_once(store):
    assert store.subjects.add([row_of(1)])
    assert store.subjects.add([replace(row_of(1), id="other"), row_of(2)]) == {row_of(2).id}
    assert store.subjects.add([replace(row_of(3), id=row_of(1).id)]) == set()
    assert store.subjects.by_reference([row_of(1).reference])[row_of(1).reference].id == row_of(1).id


def test_a_destroyed_key_leaves_neither_its_secret_nor_what_it_was_found_by(store):
    store.subjects.add([row_of(1), row_of(2)])
    assert store.subjects.destroy([row_of(1).reference, b"unknown"], NOW) == [row_of(1).id]
    assert store.subjects.destroy([row_of(1).reference], NOW + timedelta(days=1)) == []
    assert store.subjects.by_reference([row_of(1).reference]) == {}
    gone = replace(row_of(1), reference=None, wrapped=None, destroyed_at=NOW)
    assert store.subjects.by_id([row_of(1).id, row_of(2).id]) == {gone.id: gone, row_of(2).id: row_of(2)}
    again = replace(row_of(1), id="again")
    assert store.subjects.add([again]) == {"again"}  # the person comes back


def test_any_number_of_subjects(store, monkeypatch):
    monkeypatch.setattr(database, "AT_ONCE", 100)
    rows = [row_of(number) for number in range(database.AT_ONCE * 2 + 1)]
    assert len(store.subjects.add(rows)) == len(rows)
    references = [row.reference for row in rows]
    assert list(store.subjects.by_reference(references).values()) == rows
    assert len(store.subjects.destroy(references, NOW)) == len(rows)


def test_many_add_the_same_subjects_at_once(store):
    """Each slice in an order of its own: nobody waits for ever, and each subject gets one key."""

    def add(number):
        rows = [replace(row_of(n), id=f"{number}-{n}") for n in range(50)]
        return store.subjects.add(rows if number % 2 else reversed(rows))

    with ThreadPoolExecutor(8) as threads:
        added = [key_id for ids in threads.map(add, range(16)) for key_id in ids]
    assert len(added) == 50
    assert len({key_id.partition("-")[2] for key_id in added}) == 50
