"""Data keys: when they are minted and replaced, who shares them, and what is left of those that were destroyed."""

import hashlib
import hmac
import json
import logging
import pickle
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from streamguard.crypto import keyring as module
from streamguard.crypto.aead import GcmSealer, SivSealer, open_original, open_token, seal_original
from streamguard.crypto.keyring import DataKey, Keyring
from streamguard.crypto.kms.local import LocalKms, format_line, generate
from streamguard.errors import ConfigError, KeyMissingError, KeysUnavailableError
from streamguard.store.store import open_store
from tests.unit.crypto.conftest import NOON

# -- data keys -------------------------------------------------------------------------------------------------------


def test_subkeys_are_hkdf_as_published():
    """RFC 5869 with no salt, spelled out with HMAC."""
    key = DataKey("K", "orders.é", bytes(range(32)))

    def hkdf(info, length):
        extracted = hmac.digest(bytes(32), key.secret, "sha256")
        first = hmac.digest(extracted, info + b"\x01", "sha256")
        return (first + hmac.digest(extracted, first + info + b"\x02", "sha256"))[:length]

    assert key.subkey("e") == hkdf("sg1|e|orders.é".encode(), 32)
    assert key.subkey("d", 64) == hkdf("sg1|d|orders.é".encode(), 64)


def test_subkeys_of_other_kinds_and_elements_differ():
    secret = bytes(32)
    subkeys = {
        DataKey("K", element, secret).subkey(kind)
        for element in ("a", "b")
        for kind in ("e", "d", "q", "tokenize")
    }
    assert len(subkeys) == 8


def test_a_secret_is_never_printed(keyring, kms, url, caplog, capsys):
    with caplog.at_level(logging.DEBUG):
        keys = [
            keyring.fresh("orders", "email", 1),
            keyring.pinned("email"),
            keyring.quarantine("orders", timedelta(days=1)),
        ]
        rows = open_store(url).keys.all()
        shown = [repr(thing) + str(thing) for thing in (*keys, *rows, keyring, kms, vars(kms))]
        keyring.destroy_expired()
    text = "".join([*shown, caplog.text, *capsys.readouterr()])
    for key in keys:
        assert repr(key.secret) not in text
        assert key.secret.hex() not in text
    for row in rows:
        assert repr(row.wrapped) not in text


def test_minting_and_destroying_are_logged(keyring, clock, caplog):
    with caplog.at_level(logging.INFO):
        keyring.quarantine("orders", timedelta(0))
        keyring.destroy_expired()
        clock.move(days=1)
        keyring.destroy_expired()
    assert caplog.messages == ["key.minted", "keys.destroyed"]


def test_ids_are_short_and_distinct(keyring):
    ids = [keyring.pinned(f"element{number}").id for number in range(50)]
    assert len(set(ids)) == 50
    assert all(len(key_id) == 10 and key_id.isalnum() and key_id.isascii() for key_id in ids)


def test_an_id_that_is_taken_is_not_used_again(keyring, monkeypatch):
    taken = keyring.fresh("orders", "email", 1).id
    letters = iter(taken + "0123456789")
    monkeypatch.setattr(module.secrets, "choice", lambda _: next(letters))
    assert keyring.fresh("orders", "phone", 1).id == "0123456789"


# -- randomized encryption -------------------------------------------------------------------------------------------


def test_nothing_is_minted_before_it_is_asked_for(keyring, kms, url):
    assert open_store(url).keys.all() == []
    assert not kms.asked


def test_a_fresh_key_is_stored_before_it_is_returned(keyring, url):
    key = keyring.fresh("orders", "orders.email", 1)
    (row,) = open_store(url).keys.all()
    assert (row.id, row.element, row.purpose, row.version) == (key.id, "orders.email", "randomized", None)
    assert (row.created_at, row.destroy_after, row.destroyed_at) == (NOON, None, None)


def test_a_fresh_key_stays_while_nothing_changes(keyring, kms):
    keys = {keyring.fresh("orders", "email", 128).id for _ in range(1000)}
    assert len(keys) == 1
    assert kms.asked == {"wrap": 1}


def test_fresh_keys_are_per_policy_and_element(keyring):
    names = [("orders", "email"), ("payments", "email"), ("orders", "phone")]
    assert len({keyring.fresh(*name, 1).id for name in names}) == 3


def test_processes_do_not_share_fresh_keys(keyring, another):
    assert keyring.fresh("orders", "email", 1).id != another.fresh("orders", "email", 1).id


def test_a_forked_child_does_not_share_its_parents_key(keyring, monkeypatch):
    parents = keyring.fresh("orders", "email", 1)
    monkeypatch.setattr(module.os, "getpid", lambda: -1)
    assert keyring.fresh("orders", "email", 1).id != parents.id


def test_a_fresh_key_is_replaced_by_age(keyring, clock):
    first = keyring.fresh("orders", "email", 1)
    clock.move(hours=12, seconds=-1)
    assert keyring.fresh("orders", "email", 1) is first
    clock.move(seconds=1)
    assert keyring.fresh("orders", "email", 1).id != first.id


def test_a_fresh_key_is_replaced_by_count(keyring):
    assert module.MAX_USES == 2**30
    first = keyring.fresh("orders", "email", 2**30 - 10)
    assert keyring.fresh("orders", "email", 10) is first
    assert keyring.fresh("orders", "email", 1).id != first.id


def test_a_column_that_would_pass_the_limit_gets_a_new_key(keyring):
    first = keyring.fresh("orders", "email", 2**30 - 10)
    assert keyring.fresh("orders", "email", 11).id != first.id


def test_many_threads_never_overuse_a_key(keyring, monkeypatch):
    monkeypatch.setattr(module, "MAX_USES", 1000)
    used = Counter()
    lock = threading.Lock()

    def work(_):
        for _ in range(100):
            key = keyring.fresh("orders", "email", 7)
            with lock:
                used[key.id] += 7

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert sum(used.values()) == 8 * 100 * 7
    assert max(used.values()) <= 1000
    assert len(used) == 6  # 142 columns of 7 under each


def test_old_fresh_keys_still_read(keyring, another, clock):
    (token,) = GcmSealer(keyring.fresh("orders", "email", 1)).seal(["ana"])
    clock.move(days=400)
    keyring.fresh("orders", "email", 1)
    assert open_token(token, another) == "ana"


# -- deterministic uses ----------------------------------------------------------------------------------------------


def test_a_pinned_key_is_the_same_for_everyone(keyring, another, clock, url):
    key = keyring.pinned("email")
    clock.move(days=400)
    assert another.pinned("email") == key
    assert keyring.pinned("email") is key
    assert keyring.pinned("phone").id != key.id
    assert [(row.element, row.version) for row in open_store(url).keys.all()] == [("email", 1), ("phone", 1)]


def test_pinned_and_fresh_keys_of_one_element_differ(keyring):
    assert keyring.pinned("email").id != keyring.fresh("orders", "email", 1).id


def test_a_pinned_key_is_asked_for_once(keyring, kms):
    for _ in range(100):
        keyring.pinned("email")
    assert kms.asked == {"wrap": 1, "unwrap": 1}


def test_many_threads_pin_one_key(url, kms):
    keyrings = [Keyring(open_store(url), kms) for _ in range(8)]
    start = threading.Barrier(8)

    def pin(keyring):
        start.wait()
        return keyring.pinned("email")

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(pin, keyrings))) == 1


PIN = """
import sys
from pathlib import Path
from streamguard.crypto.setup import open_keyring
from streamguard.policy.keys import LocalKeys
keyring = open_keyring(LocalKeys(env="MASTER"), sys.argv[1])
sys.stdin.readline()
for number in range(30):
    key = keyring.pinned(f"element{number}")
    print(key.id, key.secret.hex())
"""


def test_many_processes_pin_one_key_per_element(url):
    """Six processes, each of which also creates the store, pin thirty elements at once."""
    environment = {"MASTER": format_line(generate())}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PIN, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(6)
    ]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [errors for _, errors in outputs] == [""] * 6
    assert len({output for output, _ in outputs}) == 1
    assert len(set(outputs[0][0].split())) == 60
    assert len(open_store(url).keys.all()) == 30


# -- quarantine ------------------------------------------------------------------------------------------------------


def test_a_quarantine_key_lasts_a_utc_day(keyring, clock, url):
    first = keyring.quarantine("orders", timedelta(days=14))
    assert first.element == "quarantine:orders"
    clock.move(hours=11, minutes=59)
    assert keyring.quarantine("orders", timedelta(days=14)) is first
    clock.move(minutes=1)
    assert keyring.quarantine("orders", timedelta(days=14)).id != first.id
    rows = open_store(url).keys.all()
    assert [row.purpose for row in rows] == ["quarantine"] * 2
    # Kept for at least `retain` from any moment of its day.
    assert [row.destroy_after for row in rows] == [
        datetime(2026, 3, 16, tzinfo=UTC),
        datetime(2026, 3, 17, tzinfo=UTC),
    ]


def test_quarantine_keys_are_per_process_policy_and_retention(keyring, another):
    day, week = timedelta(days=1), timedelta(days=7)
    keys = [
        keyring.quarantine("orders", day),
        keyring.quarantine("payments", day),
        keyring.quarantine("orders", week),
        another.quarantine("orders", day),
    ]
    assert len({key.id for key in keys}) == 4


def test_a_quarantine_key_is_replaced_by_count(keyring):
    first = keyring.quarantine("orders", timedelta(days=1), uses=2**30)
    assert keyring.quarantine("orders", timedelta(days=1)).id != first.id


def test_expired_quarantine_keys_are_destroyed(keyring, another, clock, url):
    retain = timedelta(days=1)
    key = keyring.quarantine("orders", retain)
    token = seal_original(key, "id", b"original")
    kept = keyring.fresh("orders", "email", 1)
    clock.move(days=1, hours=12, seconds=-1)
    assert keyring.destroy_expired() == 0
    assert open_original(token, "id", another) == b"original"
    clock.move(seconds=1)
    assert keyring.destroy_expired() == 1
    assert keyring.destroy_expired() == 0
    with pytest.raises(KeyMissingError, match="destroyed"):
        open_original(token, "id", keyring)
    rows = {row.id: row for row in open_store(url).keys.all()}
    assert rows[key.id].wrapped is None
    assert rows[key.id].destroyed_at == clock.now()
    assert keyring.find(kept.id) == kept


def test_a_destroyed_key_is_forgotten_elsewhere_within_a_minute(keyring, another, clock):
    key = keyring.quarantine("orders", timedelta(0))
    clock.move(hours=12)
    assert another.find(key.id) == key
    assert keyring.destroy_expired() == 1
    assert another.find(key.id) == key
    clock.move(seconds=60)
    with pytest.raises(KeyMissingError):
        another.find(key.id)


def test_a_destroyed_key_leaves_this_process_at_once(keyring, clock):
    retain = timedelta(0)
    key = keyring.quarantine("orders", retain)
    keyring.find(key.id)
    clock.move(hours=12)
    keyring.destroy_expired()
    assert all(lease.key is None for lease in keyring._leases.values())
    assert not keyring._found


# -- reading ---------------------------------------------------------------------------------------------------------


def test_find_gives_the_key_of_any_purpose(keyring, another):
    for key in (
        keyring.fresh("orders", "email", 1),
        keyring.pinned("email"),
        keyring.quarantine("orders", timedelta(days=1)),
    ):
        assert another.find(key.id) == key


def test_find_asks_once_a_minute(keyring, another, kms, clock):
    key = keyring.fresh("orders", "email", 1)
    for _ in range(100):
        another.find(key.id)
    assert kms.asked["unwrap"] == 1
    clock.move(seconds=60)
    another.find(key.id)
    assert kms.asked["unwrap"] == 2


def test_found_keys_do_not_pile_up(keyring, another, monkeypatch):
    monkeypatch.setattr(another._found, "most", 10)
    for number in range(35):
        another.find(keyring.pinned(f"element{number}").id)
    assert len(another._found) <= 10


def test_an_unknown_key_is_missing(keyring):
    with pytest.raises(KeyMissingError):
        keyring.find("nosuchkey0")


# -- when the KMS or the store is away -------------------------------------------------------------------------------

asks = pytest.mark.parametrize(
    "ask",
    [
        lambda keyring: keyring.fresh("orders", "email", 1),
        lambda keyring: keyring.pinned("email"),
        lambda keyring: keyring.quarantine("orders", timedelta(days=1)),
        lambda keyring: keyring.health(),
    ],
    ids=["fresh", "pinned", "quarantine", "health"],
)


@asks
def test_no_kms_no_key(keyring, kms, url, ask):
    kms.away = True
    with pytest.raises(KeysUnavailableError):
        ask(keyring)
    assert open_store(url).keys.all() == []
    kms.away = False
    ask(keyring)


@asks
def test_no_store_no_key(keyring, url, tmp_path, ask):
    (tmp_path / "keys.db").rename(tmp_path / "away.db")
    (tmp_path / "keys.db").mkdir()
    with pytest.raises(KeysUnavailableError):
        ask(keyring)
    (tmp_path / "keys.db").rmdir()
    (tmp_path / "away.db").rename(tmp_path / "keys.db")
    ask(keyring)


def test_a_key_past_its_age_is_not_used_on_while_the_kms_is_away(keyring, kms, clock):
    keyring.fresh("orders", "email", 1)
    kms.away = True
    keyring.fresh("orders", "email", 1)
    clock.move(hours=12)
    with pytest.raises(KeysUnavailableError):
        keyring.fresh("orders", "email", 1)


def test_what_was_pinned_goes_on_while_the_kms_is_away(keyring, kms):
    key = keyring.pinned("email")
    kms.away = True
    assert keyring.pinned("email") is key


def test_another_master_key_reads_nothing(keyring, url):
    key = keyring.pinned("email")
    stranger = Keyring(open_store(url), LocalKms([generate()]))
    for ask in (lambda: stranger.find(key.id), lambda: stranger.pinned("email")):
        with pytest.raises(KeysUnavailableError, match="another master key"):
            ask()


# -- keys that change elsewhere --------------------------------------------------------------------------------------


class CountingStore:
    """How often a store is asked."""

    def __init__(self, keyring):
        self.statements = 0
        event.listen(keyring._store.database.engine, "before_cursor_execute", self._count)

    def _count(self, *_):
        self.statements += 1


@contextmanager
def store_away(folder):
    (folder / "keys.db").rename(folder / "away.db")
    (folder / "keys.db").mkdir()
    yield
    (folder / "keys.db").rmdir()
    (folder / "away.db").rename(folder / "keys.db")


def test_rotation_is_followed_within_a_minute_and_old_tokens_stay_readable(keyring, another, clock):
    first = keyring.pinned("email")
    token = SivSealer(first).seal(["ana"])[0]
    row = another.rotate("email")
    assert (row.version, row.purpose) == (2, "deterministic")
    assert another.pinned("email").id == row.id
    assert keyring.pinned("email") is first
    clock.move(seconds=60)
    assert keyring.pinned("email").id == row.id
    assert open_token(token, keyring) == open_token(token, another) == "ana"


def test_a_timer_spares_the_lanes_every_question(keyring, another, clock, kms):
    keyring.pinned("email")
    keyring.fresh("orders", "note", 1)
    kms.asked.clear()
    store = CountingStore(keyring)
    for _ in range(10):
        clock.move(seconds=20)
        keyring.confirm()
        assert store.statements == 2
        store.statements = 0
        for _ in range(100):
            keyring.pinned("email")
            keyring.fresh("orders", "note", 1)
        assert store.statements == 0
    assert not kms.asked
    another.rotate("email")
    keyring.confirm()
    assert keyring.pinned("email").id == another.pinned("email").id


def test_of_several_who_rotate_at_once_one_does(url, kms):
    keyrings = [Keyring(open_store(url), kms) for _ in range(4)]
    keyrings[0].pinned("email")
    start = threading.Barrier(4)

    def rotate(keyring):
        start.wait()
        return keyring.rotate("email").id

    with ThreadPoolExecutor(4) as threads:
        rotated = list(threads.map(rotate, keyrings))
    versions = open_store(url).keys.versions("email")
    assert [row.version for row in versions] == list(range(1, len(versions) + 1))
    assert set(rotated) == {row.id for row in versions[1:]}


def test_what_is_not_pinned_is_not_rotated(keyring):
    keyring.fresh("orders", "note", 1)
    with pytest.raises(ConfigError, match="No key is pinned"):
        keyring.rotate("note")


def test_keys_in_use_go_on_while_the_store_is_away_and_no_longer_than_half_a_day(keyring, clock, tmp_path):
    pinned, fresh = keyring.pinned("email"), keyring.fresh("orders", "note", 1)
    with store_away(tmp_path):
        clock.move(hours=11)
        assert keyring.pinned("email") is pinned
        assert keyring.fresh("orders", "note", 1) is fresh
        with pytest.raises(KeysUnavailableError):
            keyring.confirm()
        clock.move(hours=1)
        for ask in (lambda: keyring.pinned("email"), lambda: keyring.fresh("orders", "note", 1)):
            with pytest.raises(KeysUnavailableError):
                ask()
    assert keyring.pinned("email") == pinned


def test_a_store_that_is_away_is_not_asked_for_every_slice(keyring, clock, tmp_path, monkeypatch):
    keyring.pinned("email")
    asked, living = [], keyring._store.keys.living

    def counted(ids):
        asked.append(ids)
        return living(ids)

    monkeypatch.setattr(keyring._store.keys, "living", counted)
    with store_away(tmp_path):
        clock.move(seconds=60)
        for _ in range(100):
            keyring.pinned("email")
    assert len(asked) == 1


def test_a_new_version_that_cannot_be_unwrapped_yet_is_not_followed(keyring, another, kms, clock):
    first = keyring.pinned("email")
    second = another.rotate("email")
    kms.away = True
    clock.move(seconds=60)
    assert keyring.pinned("email") is first
    kms.away = False
    clock.move(seconds=60)
    assert keyring.pinned("email").id == second.id


def test_keys_that_are_destroyed_elsewhere_go_out_of_use_within_a_minute(keyring, another, clock):
    used = [
        keyring.pinned("email"),
        keyring.fresh("orders", "note", 1),
        keyring.quarantine("orders", timedelta(days=1)),
    ]
    kept = keyring.fresh("orders", "name", 1)
    tokens = [SivSealer(used[0]).seal(["ana"])[0], GcmSealer(used[1]).seal(["ana"])[0]]
    assert sorted(another.destroy([key.id for key in used])) == sorted(key.id for key in used)
    assert another.destroy([used[0].id]) == []
    clock.move(seconds=60)
    assert keyring.fresh("orders", "name", 1) is kept
    now = [
        keyring.pinned("email"),
        keyring.fresh("orders", "note", 1),
        keyring.quarantine("orders", timedelta(days=1)),
    ]
    assert {key.id for key in now}.isdisjoint(key.id for key in used)
    for token in tokens:
        with pytest.raises(KeyMissingError, match="destroyed"):
            open_token(token, keyring)


def test_a_key_that_is_destroyed_here_goes_out_of_use_at_once(keyring):
    used = [keyring.pinned("email"), keyring.fresh("orders", "note", 1)]
    keyring.destroy(key.id for key in used)
    assert keyring.pinned("email").id != used[0].id
    assert keyring.fresh("orders", "note", 1).id != used[1].id


def test_a_destroyed_pinned_key_is_not_used_on_while_the_kms_is_away(keyring, another, kms, clock):
    another.destroy([keyring.pinned("email").id])
    kms.away = True
    clock.move(seconds=60)
    with pytest.raises(KeysUnavailableError):
        keyring.pinned("email")


# -- another master key ----------------------------------------------------------------------------------------------


def test_another_master_key_is_taken_up_while_keys_are_in_use(url, clock):
    old, new = generate(), generate()
    keyring = Keyring(open_store(url), LocalKms([old]), clock=clock.clock, now=clock.now)
    pinned, fresh = keyring.pinned("email"), keyring.fresh("orders", "note", 1)
    keyring.use(LocalKms([old, new]))
    assert keyring.pinned("email") is pinned
    assert keyring.fresh("orders", "note", 1) is fresh
    later = keyring.fresh("orders", "name", 1)
    masters = {row.id: row.master for row in open_store(url).keys.all()}
    before, after = LocalKms([old]).name, LocalKms([new]).name
    assert masters == {pinned.id: before, fresh.id: before, later.id: after}
    assert [keyring.find(key.id) for key in (pinned, later)] == [pinned, later]


def test_a_master_key_that_is_needed_is_not_let_go(url):
    old, new = generate(), generate()
    keyring = Keyring(open_store(url), LocalKms([old]))
    keyring.pinned("email")
    Keyring(open_store(url), LocalKms([generate()])).pinned("phone")  # of a master key that is lost already
    keyring.refuse_loss(LocalKms([old, new]))
    with pytest.raises(ConfigError, match="still wrapped by local:"):
        keyring.refuse_loss(LocalKms([new]))


# -- what lies on the disk -------------------------------------------------------------------------------------------


def on_disk(folder):
    return b"".join(path.read_bytes() for path in folder.iterdir())


def spellings(secret):
    return [secret, secret.hex().encode(), pickle.dumps(secret)[-40:-2], json.dumps(list(secret)).encode()]


def test_no_file_of_the_store_holds_a_secret(keyring, another, clock, tmp_path):
    """While another connection keeps the write-ahead log alive, and after it is gone."""
    keys = []
    with keyring._store.database.engine.connect() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM data_keys").all()
        for number in range(20):
            keys += [
                keyring.fresh("orders", f"element{number}", 1),
                another.pinned(f"element{number}"),
                keyring.quarantine(f"policy{number}", timedelta(0)),
            ]
        GcmSealer(keys[0]).seal(["a value"])
        SivSealer(keys[1]).seal(["a value"])
        files = on_disk(tmp_path)
        assert (tmp_path / "keys.db-wal").stat().st_size > 0
    clock.move(days=1)
    keyring.destroy_expired()
    files += on_disk(tmp_path)
    assert b"element7" in files
    for key in keys:
        assert key.id.encode() in files
        for spelling in spellings(key.secret):
            assert spelling not in files
    assert b"a value" not in files


def test_a_destroyed_key_leaves_the_disk(keyring, clock, url, tmp_path):
    keyring.quarantine("orders", timedelta(0))
    (row,) = open_store(url).keys.all()
    assert row.wrapped in on_disk(tmp_path)
    clock.move(days=1)
    keyring.destroy_expired()
    assert row.wrapped not in on_disk(tmp_path)
    assert row.id.encode() in on_disk(tmp_path)


# -- in memory -------------------------------------------------------------------------------------------------------


def test_a_keyring_in_memory_works_like_any_other():
    keyring = Keyring.in_memory()
    tokens = [
        *GcmSealer(keyring.fresh("orders", "email", 1)).seal(["ana"]),
        *SivSealer(keyring.pinned("email")).seal(["ana"]),
    ]
    assert [open_token(token, keyring) for token in tokens] == ["ana", "ana"]
    with pytest.raises(KeyMissingError):
        open_token(tokens[0], Keyring.in_memory())


def test_a_keyring_in_memory_serves_many_threads():
    keyring = Keyring.in_memory()

    def work(number):
        token = GcmSealer(keyring.fresh("orders", f"element{number}", 1)).seal(["ana"])[0]
        keyring.pinned("email")
        return open_token(token, keyring), hashlib.sha256(keyring.pinned("email").secret).hexdigest()

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(work, range(200)))) == 1
