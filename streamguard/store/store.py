"""What StreamGuard remembers, in SQL: opened here, one part per concern."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from streamguard.errors import ConfigError
from streamguard.store.audit import Audit
from streamguard.store.database import Database
from streamguard.store.erasures import Erasures
from streamguard.store.keys import Keys
from streamguard.store.migrate import prepare
from streamguard.store.sqlite import SqliteDatabase
from streamguard.store.subjects import SubjectKeys
from streamguard.store.vault import Vault


class Store:
    """The parts. Each method of each raises `KeysUnavailableError` when the database cannot answer now."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.erasures = Erasures(database)
        self.keys = Keys(database)
        self.subjects = SubjectKeys(database)
        self.vault = Vault(database)
        self.audit = Audit(database)

    def health(self) -> None:
        """Prove that the database answers a query."""
        self.keys.get("")

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()


def open_store(url: str, *, create: bool = True) -> Store:
    """The store at an SQLAlchemy URL: ``sqlite:///streamguard.db``, ``postgresql://user:password@host/database``.

    ``sqlite://`` lives in memory. With `create`, what is missing is made: the file (mode 0600) and the tables. Raises
    `ConfigError` for what will not mend itself (no such file or database, damaged, not ours to use, written by
    another release) and `KeysUnavailableError` for what may (away, locked, disk full).
    """
    database = open_database(url, create=create)
    try:
        prepare(database, create=create)
    except BaseException:
        database.close()
        raise
    database.opened = True
    return Store(database)


def is_to_be_made(url: str) -> bool:
    """Whether the address is that of a SQLite file that does not exist yet. Raises ConfigError."""
    target = _target(url)
    in_memory = target.database in {None, "", ":memory:"}
    return target.get_backend_name() == "sqlite" and not in_memory and not Path(str(target.database)).exists()


def open_database(url: str, *, create: bool = False, patience: float | None = None) -> Database:
    """The database at this URL, whatever its tables are. Raises ConfigError.

    `patience` is for how many seconds one statement may take on a server, where the default is too short.
    """
    target = _target(url)
    if target.get_backend_name() == "postgresql":
        from streamguard.store.postgresql import (  # noqa: PLC0415 - its driver is an extra
            ANSWER_SECONDS,
            PostgresDatabase,
        )

        return PostgresDatabase.at(target, patience=patience or ANSWER_SECONDS)
    if target.database in {None, "", ":memory:"}:
        return SqliteDatabase.in_memory()
    return SqliteDatabase.on_disk(Path(str(target.database)), create=create)


def _target(url: str) -> URL:
    try:
        target = make_url(url)
        kind = target.get_backend_name()
    except SQLAlchemyError:
        raise ConfigError("The store's address cannot be read.", _WRITE_IT_LIKE) from None
    if kind not in {"sqlite", "postgresql"}:
        raise ConfigError(f"A store cannot be kept in '{kind}'.", _WRITE_IT_LIKE)
    return target


_WRITE_IT_LIKE: Final = (
    "Write its address like sqlite:///streamguard.db or postgresql://user:password@host/database."
)
