"""`streamguard store`: tables are made, looked at and brought up to date, on both databases."""

import json

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from streamguard.cli import app
from streamguard.errors import ConfigError, UsageError
from streamguard.store import migrate
from streamguard.store.store import open_database, open_store
from streamguard.store.tables import REVISION, alembic_version


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request, tmp_path):
    return (
        f"sqlite:///{tmp_path}/keys.db"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_url")
    )


def run(*arguments):
    return CliRunner().invoke(app, ["store", *arguments])


def make(url, revision):
    """A store at a revision."""
    database = open_database(url, create=True)
    with database.alone("tables") as connection:
        migrate._migrate(connection, min(revision, REVISION))
        connection.execute(update(alembic_version).values(version_num=revision))
    database.close()


def test_a_new_store(url):
    done = run("upgrade", "--store", url)
    assert (done.exit_code, done.stdout) == (0, f"Made the tables: revision {REVISION}.\n")
    store = open_store(url, create=False)
    store.health()
    store.close()
    assert run("upgrade", "--store", url).stdout == f"The tables are up to date: revision {REVISION}.\n"
    assert run("status", "--store", url).exit_code == 0


def test_an_older_store(url):
    make(url, "0001")
    done = run("status", "--store", url)
    assert done.exit_code == 1
    assert "are of revision 0001" in done.stdout
    assert run("upgrade", "--store", url).stdout == f"Brought the tables from revision 0001 to {REVISION}.\n"
    done = run("status", "--store", url)
    assert done.exit_code == 0
    assert "up to date" in done.stdout


def test_a_newer_store(url):
    make(url, "9000")
    done = run("status", "--store", url)
    assert done.exit_code == 1
    assert "newer StreamGuard: revision 9000" in done.stdout
    assert isinstance(run("upgrade", "--store", url).exception, ConfigError)


@pytest.mark.parametrize(("revision", "state"), [("0001", "older"), (REVISION, "current"), ("9000", "newer")])
def test_machines_read_json(url, revision, state):
    make(url, revision)
    done = run("status", "--store", url, "--json")
    assert json.loads(done.stdout) == {
        "state": state,
        "revision": revision,
        "newest": REVISION,
        "database": "SQLite" if url.startswith("sqlite") else "PostgreSQL",
    }
    assert done.exit_code == (state != "current")


@pytest.mark.postgres
def test_a_database_without_tables(postgres_url):
    done = run("status", "--store", postgres_url, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["state"] == "missing"
    assert "There are no StreamGuard tables" in run("status", "--store", postgres_url).stdout


def test_a_file_that_is_not_there_is_not_made(tmp_path):
    assert isinstance(run("status", "--store", f"sqlite:///{tmp_path}/keys.db").exception, ConfigError)
    assert list(tmp_path.iterdir()) == []


def test_the_store_of_a_service_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "streamguard.yaml").write_text(
        "kafka: {bootstrap.servers: 'localhost:9092'}\nstore: {url: 'sqlite:///data.db'}\n"
    )
    assert run("upgrade").exit_code == 0
    assert (tmp_path / "data.db").exists()
    assert run("status", "-c", "streamguard.yaml").exit_code == 0
    assert isinstance(run("status", "-c", "streamguard.yaml", "--store", "sqlite://").exception, UsageError)


@pytest.mark.postgres
def test_nothing_of_the_address_is_printed(postgres_url):
    shown = run("upgrade", "--store", postgres_url).output + run("status", "--store", postgres_url).output
    assert "postgresql://" not in shown
    assert "127.0.0.1" not in shown
