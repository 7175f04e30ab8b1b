"""docs/store.md: what it tells people to type does what it says, on a PostgreSQL server of its own."""

import re
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from streamguard.errors import ConfigError
from streamguard.store import database, postgresql
from streamguard.store.store import open_database, open_store
from tests.servers import ROOT, Postgres
from tests.shell import in_bash
from tests.unit.store.rows import PINNED, ROW

PAGE = (ROOT / "docs" / "store.md").read_text()
(SQL,) = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
SET_UP, UPGRADE, SQLITE_BACKUP, BACKUP, RESTORE = re.findall(
    r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE
)


@pytest.fixture
def shell(tmp_path: Path):
    return partial(in_bash, folder=tmp_path)


def test_postgresql_from_the_first_user_to_the_restore(second_postgres: Postgres, shell):
    place = make_url(second_postgres.address)

    def here(text: str) -> str:
        return text.replace("db.example.com", f"{place.host}:{place.port}").replace("?sslrootcert=ca.pem", "")

    def make_database() -> None:
        shell(f"psql -v ON_ERROR_STOP=1 '{second_postgres.address}' <<'END'\n{SQL}END\n")

    def drop_database() -> None:
        sql = "DROP DATABASE guard WITH (FORCE)"
        shell(
            f"psql -v ON_ERROR_STOP=1 -c '{sql}' -c 'DROP ROLE guard, guard_owner' '{second_postgres.address}'"
        )

    service = here("postgresql://guard:and-this@db.example.com/guard")
    make_database()
    with pytest.raises(ConfigError, match="may not do this"):
        open_store(service)
    said = shell(here(SET_UP))
    assert "Made the tables" in said
    assert "up to date" in said

    store = open_store(service)
    assert store.keys.add(ROW)
    assert store.keys.add(PINNED)
    shell(here(BACKUP))
    assert store.keys.destroy([PINNED.id], ROW.created_at) == [PINNED.id]
    store.close()

    drop_database()
    make_database()
    assert "up to date" in shell(here(RESTORE))
    store = open_store(service)
    assert sorted(row.id for row in store.keys.all()) == sorted([ROW.id, PINNED.id])
    assert store.keys.get(PINNED.id) == PINNED  # what was destroyed after the backup is back
    assert store.keys.destroy([ROW.id], ROW.created_at) == [ROW.id]
    store.close()


def test_the_services_user_cannot_change_tables(second_postgres: Postgres, shell):
    place = make_url(second_postgres.address)
    shell(f"psql -v ON_ERROR_STOP=1 '{second_postgres.address}' <<'END'\n{SQL}END\n")
    shell(SET_UP.replace("db.example.com", f"{place.host}:{place.port}").replace("?sslrootcert=ca.pem", ""))
    service = f"postgresql://guard:and-this@{place.host}:{place.port}/guard"
    for forbidden in ("DROP TABLE", "TRUNCATE", "DELETE FROM", "CREATE TABLE mine AS TABLE"):
        used = open_database(service)
        with pytest.raises(ConfigError, match="may not do this"), used.writing() as connection:
            connection.exec_driver_sql(f"{forbidden} data_keys")
        used.close()


def test_sqlite_while_the_service_runs(shell, tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/streamguard.db")
    store.keys.add(ROW)
    shell(SQLITE_BACKUP)
    store.keys.destroy([ROW.id], ROW.created_at)
    assert open_store(f"sqlite:///{tmp_path}/backup.db", create=False).keys.all() == [ROW]


def test_upgrades_with_a_service_file(shell, tmp_path):
    (tmp_path / "streamguard.yaml").write_text("kafka: {bootstrap.servers: 'localhost:9092'}\n")
    open_store(f"sqlite:///{tmp_path}/streamguard.db").close()
    assert shell(UPGRADE).count("up to date") == 2


def test_the_figures():
    assert f"up to {postgresql.POOL_SIZE} open and takes {postgresql.POOL_MORE} more" in PAGE
    assert f"A statement may take {postgresql.ANSWER_SECONDS:.0f} seconds" in PAGE
    assert f"silent for {postgresql.ANSWER_SECONDS + 1:.0f}" in PAGE
    assert set(re.findall(r"`(\w+)[=`]", PAGE)) >= postgresql._OPTIONS


def test_every_message_is_listed():
    """Those that PostgreSQL can give; SQLite's are on the page about keys."""
    rows = re.findall(r"^\| (The .+?|Rows .+?) \| ", PAGE, re.MULTILINE)
    given = {failure.message for failure in postgresql._FAILURES.values()} | {database.AWAY.message}
    rare = {
        "The store's database does not exist.",
        "The disk under the store is full.",
        "The store's database is starting or stopping.",
    }
    assert given - rare <= set(rows)
