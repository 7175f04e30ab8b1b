"""Every way to tamper with the audit trail, as the owner of its database could."""

from dataclasses import fields
from datetime import UTC, datetime

import pytest
from sqlalchemy import delete, insert, select, update

from streamguard.access.audit import Trail
from streamguard.access.chain import entry_hash
from streamguard.access.heads import format_head, parse_head
from streamguard.access.verify import Flaw, Verifier
from streamguard.crypto.datakey import TRAIL
from streamguard.crypto.keyring import Keyring
from streamguard.crypto.kms.local import LocalKms
from streamguard.store.audit import AuditRow
from streamguard.store.store import open_store
from streamguard.store.tables import audit_entries, audit_heads, data_keys
from tests.unit.access.trails import EVENT, MASTER, Published, codes, execute

ENTRY, HEAD = audit_entries.c, audit_heads.c


@pytest.fixture
def published():
    return Published()


@pytest.fixture
def trail(published):
    return Trail(Keyring(open_store("sqlite://"), LocalKms([MASTER])), published)


@pytest.fixture
def written(trail, published):
    """A trail of ten entries."""
    keyring = trail._keyring
    for _ in range(5):
        trail.record([EVENT, EVENT])
    assert codes(keyring, published.heads) == []
    return keyring


CHANGES = {
    "at": datetime(2026, 1, 1, tzinfo=UTC),
    "who": "token:someone",
    "action": "reveal_masked",
    "element": None,
    "count": 1,
    "purpose": None,
    "decision": "denied",
    "reason": "another",
    "reference_hmac": bytes(32),
    "previous_hash": bytes(32),
    "hash": bytes(32),
}


def test_there_is_a_change_for_every_column():
    assert {"seq", *CHANGES} == {column.name for column in fields(AuditRow)}


def test_any_column_of_any_entry_changed(written, published):
    for seq in range(1, 11):
        original = next(row for row in written.store.audit.entries() if row.seq == seq)
        for column, value in CHANGES.items():
            if getattr(original, column) == value:
                continue
            mine = update(audit_entries).where(ENTRY.seq == seq)
            execute(written, mine.values({column: value}))
            assert codes(written), (seq, column)
            execute(written, mine.values({column: getattr(original, column)}))
    assert codes(written, published.heads) == []


@pytest.mark.parametrize("seq", [1, 2, 5, 9, 10])
def test_any_entry_removed(written, seq):
    execute(written, delete(audit_entries).where(ENTRY.seq == seq))
    assert codes(written)


@pytest.mark.parametrize("seq", [1, 5, 10])
def test_an_entry_removed_and_the_others_moved_up(written, seq):
    execute(written, delete(audit_entries).where(ENTRY.seq == seq))
    for later in range(seq + 1, 11):
        execute(written, update(audit_entries).where(ENTRY.seq == later).values(seq=later - 1))
    assert codes(written)


def test_two_entries_changing_places(written):
    def move(old, new):
        return update(audit_entries).where(ENTRY.seq == old).values(seq=new)

    execute(written, move(3, 99), move(4, 3), move(99, 4))
    assert {seq for _, seq in codes(written)} >= {3, 4}


@pytest.mark.parametrize("seq", [-5, 0, 11, 50])
def test_an_entry_inserted(written, seq):
    row = next(written.store.audit.entries())
    execute(written, insert(audit_entries).values({**as_values(row), "seq": seq}))
    assert codes(written)


def test_an_entry_added_with_a_right_hash(written):
    last = written.store.audit.newest(1)[0]
    added = rehashed({**as_values(last), "seq": 11, "previous_hash": last.hash})
    execute(written, insert(audit_entries).values(added))
    assert codes(written) == [("entry_unsigned", 11)]


def test_a_head_changed_removed_or_forged(written, published):
    heads = list(written.store.audit.heads())
    execute(written, update(audit_heads).where(HEAD.seq == 4).values(signature=bytes(64)))
    assert codes(written) == [("head_forged", 4)]
    execute(written, update(audit_heads).where(HEAD.seq == 4).values(signature=heads[2].signature))
    assert codes(written) == [("head_forged", 4)]
    execute(written, delete(audit_heads).where(HEAD.seq == 10))
    assert ("entry_unsigned", 9) in codes(written)


def test_the_end_cut_off(written):
    execute(written, delete(audit_entries).where(ENTRY.seq > 6))
    assert codes(written) == [("head_missing", 8), ("head_missing", 10)]


def test_the_end_cut_off_with_its_heads_is_seen_by_the_published_ones(written, published):
    execute(written, delete(audit_entries).where(ENTRY.seq > 6), delete(audit_heads).where(HEAD.seq > 6))
    assert codes(written) == []  # what is left is a trail in good order: this is what the topic is for
    assert codes(written, published.heads) == [
        ("published_missing_entry", 8),
        ("published_missing_entry", 10),
    ]


def test_everything_removed(written, published):
    execute(written, delete(audit_entries), delete(audit_heads))
    assert len(codes(written, published.heads)) == 5


def test_the_chain_written_anew_without_the_key(written):
    """Whoever owns the database can compute hashes, and no signatures."""
    rewrite_from(written, 5, who="token:someone")
    assert codes(written) == [("head_mismatch", 6), ("head_mismatch", 8), ("head_mismatch", 10)]


def test_cut_off_and_grown_again(written, published):
    """The service itself goes on, and signs, after a cut: the published heads are of other entries."""
    execute(written, delete(audit_entries).where(ENTRY.seq > 6), delete(audit_heads).where(HEAD.seq > 6))
    Trail(written).record([EVENT, EVENT])
    Trail(written).record([EVENT, EVENT])
    assert codes(written) == []
    assert codes(written, published.heads) == [("published_mismatch", 8), ("published_mismatch", 10)]


def test_another_key_in_place_of_the_trails(written, published):
    """A key that the owner took from elsewhere in the database signs nothing that was signed."""
    other = written.pinned("email")
    wrapped = written.store.keys.get(other.id).wrapped
    execute(written, update(data_keys).where(data_keys.c.element == TRAIL).values(wrapped=wrapped))
    fresh = Keyring(written.store, LocalKms([MASTER]))
    assert {code for code, _ in codes(fresh)} == {"head_forged"}


def test_a_topic_without_a_head_of_the_trail_proves_nothing(written, published):
    """Emptied, or not the trail's: then a trail that was cut off would seem whole."""
    execute(written, delete(audit_entries).where(ENTRY.seq > 6), delete(audit_heads).where(HEAD.seq > 6))
    elsewhere = Trail(Keyring(open_store("sqlite://"), LocalKms([MASTER])), others := Published())
    elsewhere.record([EVENT])
    for found, more in (([], []), ([None], []), (others.heads, [("published_unsigned", 1)])):
        assert codes(written, found) == [*more, ("published_nothing", 1)]
    assert codes(Keyring(open_store("sqlite://"), LocalKms([MASTER])), []) == []  # nothing was written yet


def test_what_is_no_head_on_the_topic_is_left_out(written, published):
    forged = parse_head(format_head(published.heads[0]).replace(b'"seq":2', b'"seq":3'))
    found = Verifier(written).verify([*published.heads, None])
    assert found.intact
    assert (found.published, found.strange) == (6, 1)
    found = Verifier(written).verify([*published.heads, None, forged])
    assert found.flaws == [Flaw("published_unsigned", 3)]
    assert (found.published, found.strange) == (7, 2)


def test_everything_removed_with_the_trails_key(written, published):
    """Without the key no published head can be told from a forged one: that it is a head has to be enough."""
    execute(written, delete(audit_entries), delete(audit_heads), delete(data_keys))
    anew = Keyring(written.store, LocalKms([MASTER]))
    assert codes(anew) == []
    assert codes(anew, published.heads) == [("published_unsigned", 2)]
    Trail(anew, published).record([EVENT])  # and the service begins another trail
    assert codes(anew) == []
    assert codes(anew, published.heads) == [("published_unsigned", 2)]


@pytest.mark.parametrize(
    "value", [b"", b"{}", b"null", b"\xff", b'{"version":1}', b"[1]", b'{"version":1,"seq":"1"}']
)
def test_what_is_no_head(value):
    assert parse_head(value) is None


def test_a_head_is_written_in_one_way(published, trail):
    trail.record([EVENT])
    value = format_head(published.heads[0])
    assert parse_head(value) == published.heads[0]
    assert parse_head(value + b" ") is None
    assert parse_head(value.replace(b'"seq":1', b'"seq":true')) is None


def test_values_of_other_types_in_a_file(tmp_path):
    """SQLite takes any type in any column."""
    store = open_store(f"sqlite:///{tmp_path}/keys.db")
    keyring = Keyring(store, LocalKms([MASTER]))
    for _ in range(3):
        Trail(keyring).record([EVENT])
    for column, value in (
        ("at", "'soon'"), ("count", "'many'"), ("who", "X'ff'"), ("hash", "'text'"), ("count", "1.5"),
    ):  # fmt: skip
        with store.database.writing() as connection:
            connection.exec_driver_sql("CREATE TABLE copy AS SELECT * FROM audit_entries")
            connection.exec_driver_sql(f"UPDATE audit_entries SET {column} = {value} WHERE seq = 2")  # noqa: S608
        assert codes(keyring), column
        with store.database.writing() as connection:
            connection.exec_driver_sql("DELETE FROM audit_entries")
            connection.exec_driver_sql("INSERT INTO audit_entries SELECT * FROM copy")
            connection.exec_driver_sql("DROP TABLE copy")
    assert codes(keyring) == []


def test_what_is_written_while_it_is_verified_is_no_flaw(written, monkeypatch):
    audit = written.store.audit
    newest = audit.newest

    def and_one_more(count):
        found = newest(count)
        Trail(written).record([EVENT])
        return found

    monkeypatch.setattr(audit, "newest", and_one_more)
    verdict = Verifier(written).verify()
    assert verdict.flaws == []
    assert verdict.entries == 10


def test_a_flaw_says_what_it_is():
    assert "cut off" in Flaw("head_missing", 3).message


def as_values(row):
    return {column.name: getattr(row, column.name) for column in fields(AuditRow)}


def rehashed(values):
    return {**values, "hash": entry_hash(AuditRow(**values))}


def rewrite_from(keyring, seq, **changed):
    """Change an entry, and compute every hash after it anew."""
    previous = None
    for row in list(keyring.store.audit.entries()):
        if row.seq < seq:
            continue
        values = {**as_values(row), **(changed if row.seq == seq else {})}
        if previous is not None:
            values["previous_hash"] = previous
        values = rehashed(values)
        previous = values["hash"]
        execute(keyring, update(audit_entries).where(ENTRY.seq == row.seq).values(values))
    with keyring.store.database.reading() as connection:
        assert connection.execute(select(ENTRY.hash).where(ENTRY.seq == 10)).scalar() == previous
