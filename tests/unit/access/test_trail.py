"""The audit trail: written by many at once, limits, and every way to tamper with it."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from streamguard.access.audit import Event, Limit, Trail, names, references, trail_keys, wait_for
from streamguard.access.chain import FIRST, entry_hash
from streamguard.access.errors import AuditUnavailableError, LimitExceeded
from streamguard.access.verify import Verifier
from streamguard.crypto.datakey import TRAIL
from streamguard.crypto.keyring import Keyring
from streamguard.crypto.kms.local import LocalKms, generate
from streamguard.errors import KeysUnavailableError
from streamguard.store.store import open_store
from tests.unit.access.trails import EVENT, MASTER, Published, codes


@pytest.fixture
def keyring(store):
    return Keyring(store, LocalKms([MASTER]))


@pytest.fixture
def published():
    return Published()


@pytest.fixture
def trail(keyring, published):
    return Trail(keyring, published)


# -- writing -----------------------------------------------------------------------------------------------------------


def test_entries_are_chained_and_their_end_is_signed(trail, keyring, published):
    trail.record([EVENT, Event("nobody", "authenticate", "denied", reason="token_expired")])
    trail.record([EVENT])
    first, second, third = keyring.store.audit.entries()
    assert [row.seq for row in (first, second, third)] == [1, 2, 3]
    assert [row.previous_hash for row in (first, second, third)] == [FIRST, first.hash, second.hash]
    assert all(entry_hash(row) == row.hash for row in (first, second, third))
    assert (first.who, first.element, first.count, first.purpose) == ("token:ui", "email", 2, "ticket 1")
    assert (second.element, second.count, second.reason, second.reference_hmac) == (
        None,
        0,
        "token_expired",
        None,
    )
    assert [head.seq for head in keyring.store.audit.heads()] == [2, 3]
    assert list(keyring.store.audit.heads()) == published.heads
    verdict = Verifier(keyring).verify(published.heads)
    assert verdict.intact
    assert (verdict.entries, verdict.heads, verdict.published, verdict.published_to) == (3, 2, 2, 3)
    assert keyring.store.audit.newest(2) == [second, third]


def test_tokens_are_named_by_keyed_references_alone(trail, keyring):
    trail.record([EVENT])
    (row,) = keyring.store.audit.entries()
    (key,) = trail_keys(keyring)
    assert row.reference_hmac == references(EVENT.tokens, key)
    assert names(row.reference_hmac, references(["sg1.e.K.B"], key))
    assert not names(row.reference_hmac, references(["sg1.e.K.C"], key))
    assert not names(None, references(["sg1.e.K.C"], key))
    assert b"sg1" not in repr(row).encode()


def test_many_tokens_are_several_entries(trail, keyring):
    tokens = [str(n) for n in range(2_500)]
    trail.record([Event("a", "reveal", "revealed", "email", tokens)])
    rows = list(keyring.store.audit.entries())
    assert [row.count for row in rows] == [1_000, 1_000, 500]
    assert b"".join(row.reference_hmac for row in rows) == references(tokens, trail_keys(keyring)[0])
    assert codes(keyring) == []


def test_nothing_is_written_for_nothing(trail, keyring):
    trail.record([])
    assert list(keyring.store.audit.entries()) == []
    assert Verifier(keyring).verify([]).intact
    assert keyring.store.keys.all() == []


def test_heads_go_on_being_trusted_when_the_key_is_rotated(trail, keyring, published):
    trail.record([EVENT])
    keyring.rotate(TRAIL)
    trail.record([EVENT])
    assert len(trail_keys(keyring)) == 2
    assert codes(keyring, published.heads) == []


def test_what_cannot_be_published_is_an_error_and_stays_on_the_trail(keyring):
    class Away:
        def publish(self, head):
            raise AuditUnavailableError("away")

    with pytest.raises(AuditUnavailableError):
        Trail(keyring, Away()).record([EVENT])
    assert codes(keyring) == []


def test_another_master_key_does_not_begin_a_trail(keyring):
    keyring.pinned("email")
    stranger = Keyring(keyring.store, LocalKms([generate()]))
    with pytest.raises(KeysUnavailableError):
        Trail(stranger).record([EVENT])
    assert keyring.store.keys.pinned(TRAIL) is None
    stranger.pinned("phone")  # it has keys of its own in this store: then it may
    Trail(stranger).record([EVENT])


def test_many_threads_write_one_chain(trail, keyring, published):
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: trail.record([EVENT]), range(40)))
    verdict = Verifier(keyring).verify(published.heads)
    assert verdict.intact
    assert (verdict.entries, verdict.published_to) == (40, 40)


def write_some(url, master, times):
    store = open_store(url)
    trail = Trail(Keyring(store, LocalKms([master])))
    for _ in range(times):
        trail.record([EVENT, EVENT])
    store.close()


def test_several_processes_write_one_chain(url, opened):
    opened(url)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_some, args=(url, MASTER, 15)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    keyring = Keyring(opened(url), LocalKms([MASTER]))
    verdict = Verifier(keyring).verify()
    assert verdict.flaws == []
    assert (verdict.entries, verdict.heads) == (60, 30)


# -- limits ------------------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self):
        self.now = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self):
        return self.now


def test_values_count_for_a_person_within_the_window(keyring):
    clock, limit = Clock(), Limit(5, timedelta(minutes=10))
    trails = [Trail(keyring, now=clock), Trail(keyring, now=clock)]  # two processes share one limit
    trails[0].record([EVENT], limit)
    clock.now += timedelta(minutes=4)
    trails[1].record([EVENT], limit)
    with pytest.raises(LimitExceeded) as refused:
        trails[0].record([EVENT], limit)
    assert refused.value.retry_after == 6 * 60
    trails[0].record([Event("someone else", "reveal", "revealed", "email", ("a",))], limit)
    trails[0].record([Event("token:ui", "reveal", "denied", "email", ("a",) * 9)], limit)  # nothing was given
    clock.now += timedelta(minutes=6, microseconds=1)
    trails[1].record([EVENT], limit)
    found = [(row.decision, row.reason) for row in keyring.store.audit.entries() if row.who == "token:ui"]
    assert found.count(("refused", "limit")) == 1
    assert codes(keyring) == []


def test_more_than_the_limit_at_once_is_never_given(keyring):
    with pytest.raises(LimitExceeded) as refused:
        Trail(keyring).record([EVENT], Limit(1, timedelta(hours=1)))
    assert refused.value.retry_after == 3600
    assert [row.decision for row in keyring.store.audit.entries()] == ["refused"]


def test_the_wait_is_until_enough_has_left_the_window():
    now, limit = datetime(2026, 3, 1, tzinfo=UTC), Limit(10, timedelta(minutes=10))
    spent = [(now - timedelta(minutes=minutes), 4) for minutes in (9, 5)]
    assert wait_for(2, spent, limit, now) is None
    assert wait_for(3, spent, limit, now) == timedelta(minutes=1)
    assert wait_for(7, spent, limit, now) == timedelta(minutes=5)
    assert wait_for(11, spent, limit, now) == timedelta(minutes=10)
    assert wait_for(0, [(now, 99)], limit, now) is None
