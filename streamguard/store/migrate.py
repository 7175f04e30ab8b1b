"""The tables of a store: made where there are none, brought up to date, or refused. Revisions are in migrations/."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, delete, insert, inspect, select

from streamguard.errors import ConfigError
from streamguard.store.database import Database
from streamguard.store.tables import REVISION, alembic_version, metadata

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_UNMARKED: Final = (
    "schema_version"  # the mark of stores older than migrations, whose tables are those of revision 1
)
_FIRST: Final = "0001"

# Alembic keeps what it works on in module variables.
_alembic: Final = threading.Lock()


def prepare(database: Database, *, create: bool) -> None:
    """See that the tables are those that this release works with.

    With `create` they are made where there are none, and brought up to date where the file is ours alone (SQLite).
    Raises ConfigError for tables that are missing, older or newer.
    """
    found = revision(database)
    if found == REVISION:
        return
    if found is not None and found > REVISION:
        raise ConfigError("The store was written by a newer StreamGuard.", "Upgrade this one.")
    if found is None and not create:
        raise ConfigError(
            "There are no StreamGuard tables in the store.",
            "Name the one that the service keeps its keys in.",
        )
    if found is not None and (database.shared or not create):
        raise ConfigError(
            "The store has the tables of an older StreamGuard.",
            "Back it up, and run: streamguard store upgrade",
        )
    upgrade(database)


def upgrade(database: Database) -> str | None:
    """Make the tables, or bring them up to date: all of it or nothing. Returns the revision that was found.

    Of several processes that do this at once, one does it.
    """
    if revision(database) is None:
        database.before_tables()
    with database.alone("tables") as connection:
        found = _revision(connection)
        if found is None:
            metadata.create_all(connection)
            _mark(connection, REVISION)
        elif found < REVISION:
            _mark(connection, found)
            _migrate(connection)
    return found


def revision(database: Database) -> str | None:
    """The revision of the tables; None where there are none."""
    with database.reading() as connection:
        return _revision(connection)


def _revision(connection: Connection) -> str | None:
    tables = inspect(connection)
    if tables.has_table(alembic_version.name):
        return connection.execute(select(alembic_version.c.version_num)).scalar()
    return _FIRST if tables.has_table(_UNMARKED) else None


def _mark(connection: Connection, found: str) -> None:
    alembic_version.create(connection, checkfirst=True)
    connection.execute(delete(alembic_version))
    connection.execute(insert(alembic_version).values(version_num=found))


def _migrate(connection: Connection, to: str = "head") -> None:
    from alembic import command  # noqa: PLC0415 - rarely needed, and slow to import
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with _alembic:
        command.upgrade(config, to)
