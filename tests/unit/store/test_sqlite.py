"""A store in one file: what is left in it, who may use it at once, and what it says when it cannot."""

import os
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier, Timer

import pytest
from sqlalchemy import event

from streamguard.errors import ConfigError, KeysUnavailableError
from streamguard.store import sqlite as module
from streamguard.store.store import open_store
from tests.unit.store.rows import NOW, PINNED, ROW


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.db"


@pytest.fixture
def store(path):
    return open_store(f"sqlite:///{path}")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


# -- what is kept --------------------------------------------------------------------------------------------------


def test_a_destroyed_key_is_not_left_in_the_file_or_its_log(store, path, tmp_path):
    """Even while another connection keeps the write-ahead log from being removed."""
    reader = sqlite3.connect(path)
    wrapped = os.urandom(64)
    store.keys.add(replace(ROW, wrapped=wrapped, destroy_after=NOW))
    reader.execute("SELECT count(*) FROM data_keys").fetchall()
    assert wrapped in b"".join(file.read_bytes() for file in tmp_path.iterdir())
    store.keys.destroy_expired(NOW)
    assert (tmp_path / "keys.db-wal").exists()
    assert wrapped not in b"".join(file.read_bytes() for file in tmp_path.iterdir())
    reader.close()


def test_a_key_is_on_disk_when_it_was_added(store, path):
    """A process that is killed right after loses nothing."""
    script = f"""
import os, signal
from datetime import UTC, datetime
from streamguard.store.keys import KeyRow
from streamguard.store.store import open_store
row = KeyRow("killed", "email", "randomized", None, b"wrapped", "local:1", datetime.now(UTC))
assert open_store("sqlite:///{path}").keys.add(row)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -9
    assert store.keys.get("killed").wrapped == b"wrapped"


# -- the file --------------------------------------------------------------------------------------------------------


def test_the_file_and_its_log_are_private(store, path, tmp_path):
    with store.database.engine.connect() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM data_keys").all()
        store.keys.add(ROW)
        files = list(tmp_path.iterdir())
        assert {file.name for file in files} == {"keys.db", "keys.db-wal", "keys.db-shm"}
        assert {mode(file) for file in files} == {0o600}


def test_sqlite_is_set_to_lose_nothing(store):
    with store.database.engine.connect() as connection:

        def pragma(name):
            return connection.exec_driver_sql(f"PRAGMA {name}").scalar()

        assert pragma("journal_mode") == "wal"
        assert pragma("synchronous") == 2  # FULL
        assert pragma("busy_timeout") == 5000
        assert pragma("foreign_keys") == 1
        assert pragma("secure_delete") == 1


def test_a_database_without_our_tables_gets_them(path):
    sqlite3.connect(path).execute("CREATE TABLE other (x)").connection.close()
    with pytest.raises(ConfigError, match="no StreamGuard tables"):
        open_store(f"sqlite:///{path}", create=False)
    assert open_store(f"sqlite:///{path}").keys.all() == []


def test_many_threads_open_a_new_store_at_once(tmp_path):
    start = Barrier(8)

    def work(number, url):
        start.wait()
        return open_store(url).keys.add(replace(ROW, id=f"key{number}"))

    for attempt in range(12):
        url = f"sqlite:///{tmp_path}/{attempt}.db"
        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(work, range(8), [url] * 8))
        assert len(open_store(url).keys.all()) == 8


# -- what is refused -------------------------------------------------------------------------------------------------


def test_a_reader_makes_no_store(path):
    with pytest.raises(ConfigError, match="There is no store at"):
        open_store(f"sqlite:///{path}", create=False)
    assert not path.exists()


@pytest.mark.parametrize("create", [True, False])
def test_a_file_that_is_no_database(path, create):
    path.write_text("not a database, but a long enough text to be read as its header" * 50)
    with pytest.raises(ConfigError, match="not a StreamGuard store"):
        open_store(f"sqlite:///{path}", create=create)
    assert path.read_text().startswith("not a database")


def test_a_damaged_file(store, path):
    for number in range(200):
        store.keys.add(replace(ROW, id=f"key{number}", wrapped=os.urandom(500)))
    store.close()
    content = bytearray(path.read_bytes())
    content[100:] = b"\xa5" * (len(content) - 100)
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="damaged"):
        open_store(f"sqlite:///{path}")


def test_a_directory_that_does_not_exist(tmp_path):
    with pytest.raises(ConfigError, match="cannot be created: No such file or directory"):
        open_store(f"sqlite:///{tmp_path}/none/keys.db")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_in_place_of_the_file(path):
    path.mkdir()
    with pytest.raises(ConfigError, match="cannot be opened"):
        open_store(f"sqlite:///{path}")


AS_NOBODY = """
import os, sys
from datetime import UTC, datetime
from streamguard.errors import StreamGuardError
from streamguard.store.store import open_store
import sqlalchemy.dialects.sqlite, sqlite3
open_store("sqlite://").close()
os.setgid(65534)
os.setuid(65534)
try:
    open_store(sys.argv[1])
except StreamGuardError as error:
    print(type(error).__name__, error.message)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="Only root can become somebody who may not read the file.")
@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "message"),
    [(0o600, 0o755, "cannot be opened"), (0o600, 0o700, "cannot be"), (0o644, 0o755, "cannot be")],
)
def test_somebody_elses_store(tmp_path_factory, file_mode, folder_mode, message):
    folder = tmp_path_factory.mktemp("store")
    path = folder / "keys.db"
    open_store(f"sqlite:///{path}").close()
    path.chmod(file_mode)
    folder.chmod(folder_mode)
    above = list(folder.parents)[:3]  # tests that run side by side have a level more
    before = [mode(parent) for parent in above]
    try:
        for parent in above:
            parent.chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, f"sqlite:///{path}"], capture_output=True, text=True, check=True
        )
    finally:
        for parent, bits in zip(above, before, strict=True):
            parent.chmod(bits)
    assert done.stdout.startswith("ConfigError The store ")
    assert message in done.stdout


# -- what may mend itself --------------------------------------------------------------------------------------------


def with_pragma(store, pragma):
    """The same store, each connection of which starts with a pragma more."""

    @event.listens_for(store.database.engine, "connect")
    def set_pragma(connection, _record):
        connection.execute(f"PRAGMA {pragma}")

    return store


def fill(store):
    for number in range(1000):
        store.keys.add(replace(ROW, id=f"key{number}", wrapped=bytes(2000)))


def test_a_full_disk(store, path):
    with pytest.raises(KeysUnavailableError, match="disk under the store is full"):
        fill(with_pragma(store, "max_page_count=20"))
    fine = open_store(f"sqlite:///{path}")
    kept = fine.keys.all()
    assert 0 < len(kept) < 20
    assert fine.keys.add(replace(ROW, id="after"))


def test_a_disk_that_takes_no_byte_more(path):
    """A limit on the size of files makes the operating system refuse the write itself."""
    script = f"""
import resource, signal
from datetime import UTC, datetime
from streamguard.errors import KeysUnavailableError
from streamguard.store.keys import KeyRow
from streamguard.store.store import open_store
store = open_store("sqlite:///{path}")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    for number in range(1000):
        store.keys.add(KeyRow(f"key{{number}}", "email", "randomized", None, bytes(2000), "local:1", datetime.now(UTC)))
except KeysUnavailableError as error:
    print(error.message)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout in {"The disk under the store is full.\n", "The disk under the store fails.\n"}
    assert 0 < len(open_store(f"sqlite:///{path}").keys.all()) < 1000


def test_a_store_that_became_read_only(store):
    store.keys.add(ROW)
    read_only = with_pragma(store, "query_only=ON")
    with pytest.raises(KeysUnavailableError, match="cannot be written"):
        read_only.keys.add(PINNED)
    with pytest.raises(KeysUnavailableError, match="cannot be written"):
        read_only.keys.destroy_expired(NOW)
    assert read_only.keys.get(ROW.id) == ROW


def test_a_locked_store(path, monkeypatch):
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.05)
    store = open_store(f"sqlite:///{path}")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(KeysUnavailableError, match="locked by another process"):
        store.keys.add(ROW)
    assert store.keys.get(ROW.id) is None  # readers go on
    holder.execute("ROLLBACK")
    assert store.keys.add(ROW)
    holder.close()


def test_a_new_store_that_is_locked(path, monkeypatch):
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.05)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(KeysUnavailableError, match="locked by another process"):
        open_store(f"sqlite:///{path}")
    holder.execute("ROLLBACK")
    holder.close()
    assert open_store(f"sqlite:///{path}").keys.all() == []


def test_a_new_store_that_is_locked_for_a_moment(path):
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    release = Timer(0.3, holder.execute, ["ROLLBACK"])
    release.start()
    assert open_store(f"sqlite:///{path}").keys.add(ROW)
    release.join()
    holder.close()


def test_a_store_that_went_away(store, path):
    path.rename(path.with_suffix(".away"))
    path.mkdir()
    for ask in (
        store.keys.all,
        store.health,
        lambda: store.keys.add(ROW),
        lambda: store.keys.pinned("email"),
    ):
        with pytest.raises(KeysUnavailableError, match="cannot be opened"):
            ask()


def test_tables_that_went_away(store, path):
    path.unlink()
    with pytest.raises(KeysUnavailableError, match="does not answer"):
        store.keys.all()


def test_errors_hold_nothing_of_the_database(store, path, monkeypatch):
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.05)
    store = open_store(f"sqlite:///{path}")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(KeysUnavailableError) as caught:
        store.keys.add(ROW)
    holder.close()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    for part in (ROW.id, ROW.element, "INSERT", "sqlite3", "data_keys"):
        assert part not in str(caught.value)
    assert "wrapped" not in repr(ROW)
