"""Tables: made, brought up to date, refused; and what migrations make is what tables.py says."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, inspect, update

from streamguard.errors import ConfigError
from streamguard.store import migrate
from streamguard.store.migrate import REVISION, revision, upgrade
from streamguard.store.store import open_database
from streamguard.store.tables import alembic_version, metadata
from tests.unit.store.rows import NOW, ROW

# A store as it was before there were migrations, word for word.
BEFORE_MIGRATIONS = """
CREATE TABLE schema_version (version INTEGER NOT NULL, applied_at DATETIME NOT NULL, PRIMARY KEY (version));
CREATE TABLE data_keys (
    id TEXT NOT NULL,
    element TEXT NOT NULL,
    purpose TEXT NOT NULL,
    version INTEGER,
    wrapped BLOB,
    master TEXT NOT NULL,
    created_at DATETIME NOT NULL,
    destroy_after DATETIME,
    destroyed_at DATETIME,
    PRIMARY KEY (id),
    UNIQUE (element, version)
);
CREATE INDEX data_keys_to_destroy ON data_keys (destroy_after);
INSERT INTO schema_version VALUES (1, '2026-01-01 00:00:00.000000');
INSERT INTO data_keys VALUES
    ('K7dq2mXw0a', 'orders.email', 'randomized', NULL, X'007772617070656400', 'local:3f9a',
     '2026-03-01 12:30:15.123456', NULL, NULL);
PRAGMA journal_mode=WAL;
"""


@pytest.fixture
def database(url):
    """A database with nothing in it."""
    made = open_database(url, create=True)
    yield made
    made.close()


@pytest.fixture
def old(database):
    """A store at the first revision, with a key in it."""
    with database.alone("tables") as connection:
        migrate._migrate(connection, "0001")
        before = MetaData()
        before.reflect(connection)
        connection.execute(
            before.tables["data_keys"]
            .insert()
            .values(
                id=ROW.id,
                element=ROW.element,
                purpose=ROW.purpose,
                wrapped=ROW.wrapped,
                master=ROW.master,
                created_at=NOW,
            )
        )
    return database


def shape(database):
    """Everything that a database says about our tables."""
    found = inspect(database.engine)
    return {
        table: {
            "columns": {
                column["name"]: (str(column["type"]), column["nullable"], column["default"])
                for column in found.get_columns(table)
            },
            "key": found.get_pk_constraint(table)["constrained_columns"],
            "unique": sorted(one["column_names"] for one in found.get_unique_constraints(table)),
            "indexes": sorted((one["name"], *one["column_names"]) for one in found.get_indexes(table)),
        }
        for table in found.get_table_names()
    }


def test_the_tables_are_those_of_the_last_revision():
    config = Config()
    config.set_main_option("script_location", str(migrate._MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    assert script.get_current_head() == REVISION
    revisions = [one.revision for one in script.walk_revisions()]
    assert revisions == sorted(revisions, reverse=True), "revisions are compared as text"


def test_migrations_end_where_new_stores_begin(old, opened, url):
    upgrade(old)
    with old.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    migrated = shape(old)
    with old.engine.begin() as connection:
        metadata.drop_all(connection)
    opened(url)
    assert shape(old) == migrated


def test_an_old_store_keeps_its_keys(old, opened, url):
    assert revision(old) == "0001"
    assert upgrade(old) == "0001"
    assert revision(old) == REVISION
    assert opened(url, create=False).keys.all() == [ROW]


def test_upgrading_a_new_store_changes_nothing(store):
    store.keys.add(ROW)
    assert upgrade(store.database) == REVISION
    assert store.keys.all() == [ROW]


def test_upgrading_an_empty_database_makes_the_tables(database):
    assert revision(database) is None
    assert upgrade(database) is None
    assert revision(database) == REVISION


def test_many_upgrade_at_once(old, url, opened):
    start = Barrier(4)

    def work(_number):
        other = open_database(url)
        start.wait()
        found = upgrade(other)
        other.close()
        return found

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(work, range(4)))
    assert sorted(found) == ["0001", REVISION, REVISION, REVISION]
    assert opened(url).keys.all() == [ROW]


def test_a_migration_that_fails_leaves_everything_as_it_was(old, monkeypatch):
    before = shape(old)

    def fail(connection):
        done(connection)
        raise RuntimeError

    done = migrate._migrate
    monkeypatch.setattr(migrate, "_migrate", fail)
    with pytest.raises(RuntimeError):
        upgrade(old)
    assert shape(old) == before


@pytest.mark.parametrize("create", [True, False])
def test_a_store_of_a_newer_release_is_refused(store, url, opened, create):
    with store.database.engine.begin() as connection:
        connection.execute(update(alembic_version).values(version_num="9000"))
    with pytest.raises(ConfigError, match="newer StreamGuard"):
        opened(url, create=create)
    assert upgrade(store.database) == "9000"  # and it is left as it is


def test_a_reader_makes_no_tables(database, url, opened):
    with pytest.raises(ConfigError, match="no StreamGuard tables"):
        opened(url, create=False)
    assert revision(database) is None


def test_a_reader_upgrades_nothing(old, url, opened):
    with pytest.raises(ConfigError, match="older StreamGuard") as caught:
        opened(url, create=False)
    assert "streamguard store upgrade" in caught.value.remedy
    assert revision(old) == "0001"


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_file_is_upgraded_by_the_service_that_owns_it(old, url, opened):
    assert opened(url).keys.all() == [ROW]
    assert revision(old) == REVISION


@pytest.mark.postgres
@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_database_that_a_fleet_shares_is_upgraded_by_people(old, url, opened):
    with pytest.raises(ConfigError, match="older StreamGuard"):
        opened(url)
    assert revision(old) == "0001"


def test_a_file_from_before_there_were_migrations(tmp_path, opened):
    path = tmp_path / "keys.db"
    connection = sqlite3.connect(path)
    connection.executescript(BEFORE_MIGRATIONS)
    connection.close()
    store = opened(f"sqlite:///{path}")
    assert store.keys.all() == [replace(ROW, wrapped=b"\x00wrapped\x00")]
    assert "schema_version" not in shape(store.database)
    assert shape(store.database) == shape(opened(f"sqlite:///{tmp_path}/new.db").database)


def test_what_alembic_itself_says(store):
    """Its own tools find what they expect."""
    with store.database.engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == REVISION
