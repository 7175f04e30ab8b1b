"""The embedded default: one SQLite file, which any number of threads and processes of one host may use at once.

Write-ahead log, ``synchronous=FULL`` (a key that is lost is data that is lost), and deleted content overwritten.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from streamguard.errors import ConfigError
from streamguard.store.database import AWAY, Database, Failure

BUSY_SECONDS: Final = 5.0
"""How long one statement waits for another process's write before the store counts as away."""

_PRAGMAS: Final = ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")


class SqliteDatabase(Database):
    """A file, or the memory of this process."""

    name = "SQLite"
    shared = False

    @classmethod
    def in_memory(cls) -> SqliteDatabase:
        """A database that lives as long as this object."""
        # One connection, which is the database, lent to one thread at a time.
        return cls(_engine("sqlite://", poolclass=QueuePool, pool_size=1, max_overflow=0))

    @classmethod
    def on_disk(cls, path: Path, *, create: bool) -> SqliteDatabase:
        """The database in a file; one that is missing is made with `create`, and otherwise a ConfigError."""
        if create:
            _create_private(path)
        elif not path.exists():
            raise ConfigError(
                f"There is no store at {path}.", "Name the file that the service keeps its keys in."
            )
        # A connection per use: keys are asked for rarely, and nothing is shared among threads or across a fork.
        return cls(_engine(URL.create("sqlite", database=str(path)), poolclass=NullPool))

    def before_tables(self) -> None:
        """Turn the write-ahead log on. SQLite does not wait by itself for others that are doing the same."""
        with self.reading() as connection:
            until = time.monotonic() + BUSY_SECONDS
            while True:
                try:
                    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                    return
                except OperationalError as error:
                    if time.monotonic() > until or _name(error.orig) != "SQLITE_BUSY":
                        raise
                time.sleep(0.01)

    def forget(self) -> None:
        """Empty the write-ahead log, where deleted content lingers; it also goes with the last connection."""
        with suppress(SQLAlchemyError), self.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def _take_turn(self, connection: Connection, what: str) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # there is one writer at a time, whatever it writes

    def _insert_new(self, table: Table) -> Insert:
        return insert(table).on_conflict_do_nothing()

    def _failure(self, cause: BaseException) -> Failure:
        name = _name(cause)
        return next((failure for beginning, failure in _FAILURES.items() if name.startswith(beginning)), AWAY)


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


def _name(cause: BaseException | None) -> str:
    return getattr(cause, "sqlite_errorname", "")


_LOCKED: Final = Failure(
    "The store is locked by another process.", "Find what holds it, such as a backup or a database shell."
)
_OWN_IT: Final = "Let the user that runs StreamGuard own the file and its directory."

# How SQLite's name of the error begins, and what it means.
_FAILURES: Final = {
    "SQLITE_FULL": Failure("The disk under the store is full.", "Make room; the service goes on by itself."),
    "SQLITE_BUSY": _LOCKED,
    "SQLITE_LOCKED": _LOCKED,
    "SQLITE_NOTADB": Failure(
        "The store's file is not a StreamGuard store.", "Name another, or restore a backup.", lasts=True
    ),
    "SQLITE_CORRUPT": Failure("The store's file is damaged.", "Restore it from a backup.", lasts=True),
    "SQLITE_READONLY": Failure("The store cannot be written.", _OWN_IT, lasts=True),
    "SQLITE_CANTOPEN": Failure("The store cannot be opened.", _OWN_IT, lasts=True),
    "SQLITE_PERM": Failure("The store cannot be opened.", _OWN_IT, lasts=True),
    "SQLITE_IOERR": Failure("The disk under the store fails.", "Look at the system's log, and at the disk."),
}
