"""What StreamGuard remembers: wrapped data keys, in SQL.

SQLite is the embedded default: write-ahead log, ``synchronous=FULL`` (a key that is lost is data that is lost), and
deleted content overwritten. Any number of threads and processes may use one file at once.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, func, insert, inspect, select, update
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool
from sqlalchemy.schema import CreateIndex, CreateTable

from streamguard.errors import ConfigError, KeysUnavailableError
from streamguard.store.tables import SCHEMA_VERSION, data_keys, metadata, schema_version

BUSY_SECONDS: Final = 5.0
"""How long one statement waits for another process's write before the store counts as away."""

_PRAGMAS: Final = ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One data key as it is stored. `wrapped` is None once the key was destroyed; `version` is set for pinned keys."""

    id: str
    element: str
    purpose: str
    version: int | None
    wrapped: bytes | None = field(repr=False)
    master: str
    created_at: datetime
    destroy_after: datetime | None = None
    destroyed_at: datetime | None = None


class Store:
    """The queries. Each raises `KeysUnavailableError` when the database cannot answer now."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add_key(self, row: KeyRow) -> bool:
        """Keep a new key, on disk before this returns; False when its id, or its element and version, exist."""
        with _answering():
            try:
                with self._engine.begin() as connection:
                    connection.execute(insert(data_keys).values(**asdict(row)))
            except IntegrityError:
                return False
            return True

    def key(self, key_id: str) -> KeyRow | None:
        """The key with this id, destroyed or not."""
        return self._first(select(data_keys).where(data_keys.c.id == key_id))

    def pinned_key(self, element: str) -> KeyRow | None:
        """The highest pinned version of an element, destroyed or not."""
        pinned = (data_keys.c.element == element) & data_keys.c.version.is_not(None)
        return self._first(select(data_keys).where(pinned).order_by(data_keys.c.version.desc()).limit(1))

    def all_keys(self) -> list[KeyRow]:
        """Every key, oldest first."""
        with _answering(), self._engine.connect() as connection:
            found = connection.execute(select(data_keys).order_by(data_keys.c.created_at, data_keys.c.id))
            return [KeyRow(**row) for row in found.mappings()]

    def destroy_expired(self, now: datetime) -> list[str]:
        """Destroy every key whose time has come: its wrapped form is overwritten, its row stays. Returns their ids."""
        due = (data_keys.c.destroy_after <= now) & data_keys.c.destroyed_at.is_(None)
        destroy = (
            update(data_keys).where(due).values(wrapped=None, destroyed_at=now).returning(data_keys.c.id)
        )
        with _answering(), self._engine.begin() as connection:
            destroyed = list(connection.execute(destroy).scalars())
        if destroyed:
            self._cut_log()
        return destroyed

    def health(self) -> None:
        """Prove that the database answers a query."""
        self.key("")

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def _first(self, query: Any) -> KeyRow | None:
        with _answering(), self._engine.connect() as connection:
            found = connection.execute(query).mappings().first()
            return None if found is None else KeyRow(**found)

    def _cut_log(self) -> None:
        """Empty the write-ahead log, where a destroyed key would linger; it also goes with the last connection."""
        with suppress(SQLAlchemyError), self._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def open_store(url: str, *, create: bool = True) -> Store:
    """The store at an SQLAlchemy URL, such as ``sqlite:///streamguard.db``; ``sqlite://`` lives in memory.

    With `create`, what is missing is made: the file (mode 0600) and the tables. Raises `ConfigError` for what will not
    mend itself (no such file or directory, damaged, not ours to write, written by a newer release) and
    `KeysUnavailableError` for what may (locked, disk full).
    """
    target = _target(url)
    if target.database in {None, "", ":memory:"}:
        engine = _in_memory()
    else:
        engine = _on_disk(Path(str(target.database)), create=create)
    try:
        with _answering(opening=True), engine.begin() as connection:
            _prepare(connection, create=create)
    except BaseException:
        engine.dispose()
        raise
    return Store(engine)


def _target(url: str) -> URL:
    try:
        target = make_url(url)
    except SQLAlchemyError:
        raise ConfigError("The store's address cannot be read.", _WRITE_IT_LIKE) from None
    if target.get_backend_name() != "sqlite":
        raise ConfigError(f"A store cannot be kept in '{target.get_backend_name()}'.", _WRITE_IT_LIKE)
    return target


def _in_memory() -> Engine:
    # One connection, which is the database, lent to one thread at a time.
    return _engine("sqlite://", poolclass=QueuePool, pool_size=1, max_overflow=0)


def _on_disk(path: Path, *, create: bool) -> Engine:
    if create:
        _create_private(path)
    elif not path.exists():
        raise ConfigError(
            f"There is no store at {path}.", "Name the file that the service keeps its keys in."
        )
    # A connection per use: keys are asked for rarely, and nothing is shared among threads or across a fork.
    return _engine(URL.create("sqlite", database=str(path)), poolclass=NullPool)


def _create_private(path: Path) -> None:
    """Where there is no file, an empty one that only its owner can read; SQLite gives its log the same mode."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise ConfigError(
            f"The store {path} cannot be created: {os.strerror(error.errno or 0)}.",
            "Create its directory, writable for the user that runs StreamGuard.",
        ) from None


def _engine(url: str | URL, **options: Any) -> Engine:
    arguments = {"check_same_thread": False, "timeout": BUSY_SECONDS}
    engine = create_engine(url, hide_parameters=True, connect_args=arguments, **options)

    @event.listens_for(engine, "connect")
    def set_pragmas(connection: sqlite3.Connection, _record: object) -> None:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _prepare(connection: Connection, *, create: bool) -> None:
    version = _version(connection)
    if version is None and not create:
        raise ConfigError(
            "The file holds no StreamGuard store.", "Name the file that the service keeps its keys in."
        )
    if version is None:
        _make_tables(connection)
    elif version > SCHEMA_VERSION:
        raise ConfigError("The store was written by a newer StreamGuard.", "Upgrade this one.")


def _version(connection: Connection) -> int | None:
    if not inspect(connection).has_table(schema_version.name):
        return None
    return connection.execute(select(func.max(schema_version.c.version))).scalar()


def _make_tables(connection: Connection) -> None:
    _keep_log(connection)
    # Of several processes that start at once, one makes the tables.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    for table in metadata.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in table.indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))
    if _version(connection) is None:
        connection.execute(
            insert(schema_version).values(version=SCHEMA_VERSION, applied_at=datetime.now(UTC))
        )


def _keep_log(connection: Connection) -> None:
    """Turn the write-ahead log on, for good. SQLite does not wait by itself for others that are doing the same."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            return
        except OperationalError as error:
            if time.monotonic() > until or getattr(error.orig, "sqlite_errorname", "") != "SQLITE_BUSY":
                raise
        time.sleep(0.01)


@contextmanager
def _answering(*, opening: bool = False) -> Iterator[None]:
    """Turn a database error into ours: final while opening when it will not mend itself, otherwise 'not now'."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = error.orig if isinstance(error, DBAPIError) else None
        raise _ours(getattr(cause, "sqlite_errorname", ""), opening=opening) from None


def _ours(name: str, *, opening: bool) -> ConfigError | KeysUnavailableError:
    for beginning, lasting, message, remedy in _FAILURES:
        if name.startswith(beginning):
            return (ConfigError if opening and lasting else KeysUnavailableError)(message, remedy)
    return KeysUnavailableError(
        "The store does not answer.", "See that its database is there and can be written."
    )


_WRITE_IT_LIKE: Final = "Write its address like sqlite:///streamguard.db"
_OWN_IT: Final = "Let the user that runs StreamGuard own the file and its directory."
_FREE_IT: Final = "Find what holds it, such as a backup or a database shell."

# How SQLite's name of the error begins, whether it lasts, what happened, what to do.
_FAILURES: Final = (
    ("SQLITE_FULL", False, "The disk under the store is full.", "Make room; the service goes on by itself."),
    ("SQLITE_BUSY", False, "The store is locked by another process.", _FREE_IT),
    ("SQLITE_LOCKED", False, "The store is locked by another process.", _FREE_IT),
    (
        "SQLITE_NOTADB",
        True,
        "The store's file is not a StreamGuard store.",
        "Name another, or restore a backup.",
    ),
    ("SQLITE_CORRUPT", True, "The store's file is damaged.", "Restore it from a backup."),
    ("SQLITE_READONLY", True, "The store cannot be written.", _OWN_IT),
    ("SQLITE_CANTOPEN", True, "The store cannot be opened.", _OWN_IT),
    ("SQLITE_PERM", True, "The store cannot be opened.", _OWN_IT),
    ("SQLITE_IOERR", False, "The disk under the store fails.", "Look at the system's log, and at the disk."),
)
