"""`streamguard keys`: a master key is made once, privately; data keys are listed without their secrets."""

import json
import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamguard.cli import app
from streamguard.crypto.keyring import Keyring
from streamguard.crypto.kms.local import LocalKms
from streamguard.errors import ConfigError, UsageError
from streamguard.store.store import open_store

COMMAND = Path(sys.executable).with_name("streamguard")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def service(here):
    """A service file here, as people have it."""
    (here / "streamguard.yaml").write_text(
        "kafka: {bootstrap.servers: 'localhost:9092'}\n"
        "keys: {file: keys/master.key}\n"
        "store: {url: 'sqlite:///data.db'}\n"
    )
    return here


def run(*arguments):
    return CliRunner().invoke(app, ["keys", *map(str, arguments)])


def refused(kind, *arguments):
    """The error that a command ends with."""
    error = run(*arguments).exception
    assert isinstance(error, kind)
    return error


# -- init ------------------------------------------------------------------------------------------------------------


def test_init_writes_a_private_file(here):
    done = run("init", "--file", "keys/master.key")
    assert done.exit_code == 0
    file = here / "keys" / "master.key"
    kms = LocalKms.from_file(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    secret = file.read_text().split()[-1].split(".")[2]
    assert kms.name.removeprefix("local:") in done.output
    assert secret not in done.output


def test_init_refuses_to_overwrite(here):
    run("init", "--file", "master.key")
    before = (here / "master.key").read_bytes()
    assert "never overwritten" in refused(ConfigError, "init", "--file", "master.key").message
    assert (here / "master.key").read_bytes() == before


def test_init_protects_a_file_with_a_passphrase(here, monkeypatch):
    monkeypatch.setenv("WORDS", "six random words")
    assert run("init", "--file", "master.key", "--passphrase-env", "WORDS").exit_code == 0
    LocalKms.from_file(here / "master.key", "six random words")
    with pytest.raises(ConfigError, match="passphrase"):
        LocalKms.from_file(here / "master.key")
    assert (
        "no passphrase" in refused(UsageError, "init", "--file", "b.key", "--passphrase-env", "NONE").message
    )
    refused(UsageError, "init", "--env", "MASTER", "--passphrase-env", "WORDS")
    assert not (here / "b.key").exists()


def test_init_follows_the_service_file_with_its_passphrase(service, monkeypatch):
    monkeypatch.setenv("WORDS", "six random words")
    file = service / "streamguard.yaml"
    file.write_text(
        file.read_text().replace("{file: keys/master.key}", "{file: keys/master.key, passphrase: '${WORDS}'}")
    )
    assert run("init").exit_code == 0
    LocalKms.from_file(service / "keys" / "master.key", "six random words")


def test_init_makes_no_key_for_a_service(service):
    file = service / "streamguard.yaml"
    file.write_text(
        file.read_text().replace("{file: keys/master.key}", "{provider: aws, key: alias/streamguard}")
    )
    assert "'aws'" in refused(UsageError, "init").message


def test_init_follows_the_service_file(service):
    assert run("init").exit_code == 0
    LocalKms.from_file(service / "keys" / "master.key")


def test_init_follows_a_named_service_file(service):
    (service / "streamguard.yaml").rename(service / "other.yaml")
    assert run("init", "-c", "other.yaml").exit_code == 0
    assert (service / "keys" / "master.key").exists()


def test_init_prints_a_line_for_the_environment(here):
    done = run("init", "--env", "MASTER")
    (line,) = done.stdout.splitlines()
    name, _, value = line.partition("=")
    kms = LocalKms.from_env("MASTER", {name: value})
    assert kms.unwrap(kms.wrap(bytes(32))) == bytes(32)
    assert "keys: {env: MASTER}" in done.stderr
    assert value not in done.stderr
    assert list(here.iterdir()) == []


def test_init_follows_a_service_file_with_a_variable(here):
    (here / "streamguard.yaml").write_text(
        "kafka: {bootstrap.servers: 'localhost:9092'}\nkeys: {env: MASTER}\n"
    )
    assert run("init").stdout.startswith("MASTER=sgmk1.")


def test_init_needs_one_place(here):
    refused(UsageError, "init", "--file", "a", "--env", "B")
    refused(UsageError, "init", "--file", "a", "--config", "streamguard.yaml")
    assert "--config" in refused(UsageError, "init").remedy
    assert list(here.iterdir()) == []


def test_the_command_ends_with_one_paragraph_and_no_traceback(here):
    """As people run it: the error on stderr, with its remedy, and the exit code."""
    run("init", "--file", "master.key")
    done = subprocess.run(
        [COMMAND, "keys", "init", "--file", "master.key"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: master.key exists already")
    assert "Traceback" not in done.stderr
    done = subprocess.run([COMMAND, "keys", "init"], capture_output=True, text=True, check=False)
    assert done.returncode == 2


# -- list ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def used(service):
    """The service's store after some use."""
    run("init")
    keyring = Keyring(open_store("sqlite:///data.db"), LocalKms.from_file(service / "keys" / "master.key"))
    keys = [
        keyring.fresh("orders", "orders.items[*].note", 1),
        keyring.pinned("email"),
        keyring.quarantine("orders", timedelta(days=14)),
        keyring.quarantine("gone", timedelta(days=-30)),
    ]
    keyring.destroy_expired()
    return keys


def test_list_as_json(used):
    done = run("list", "--json")
    assert done.exit_code == 0
    rows = {row["id"]: row for row in json.loads(done.stdout)}
    fresh, pinned, quarantine, gone = (rows[key.id] for key in used)
    assert len(rows) == 4
    assert set(fresh) == {
        "id", "element", "purpose", "version", "state", "master", "created_at", "destroy_after", "destroyed_at",
        "destruction_asked_by", "destruction_asked_at",
    }  # fmt: skip
    assert (fresh["element"], fresh["purpose"], fresh["state"]) == (
        "orders.items[*].note",
        "randomized",
        "active",
    )
    assert (pinned["element"], pinned["purpose"], pinned["version"]) == ("email", "deterministic", 1)
    assert (quarantine["element"], quarantine["state"]) == ("quarantine:orders", "active")
    assert quarantine["destroy_after"].endswith("T00:00:00+00:00")
    assert (gone["state"], gone["destroyed_at"] is None) == ("destroyed", False)
    assert all(row["master"].startswith("local:") for row in rows.values())


def test_list_as_a_table(used):
    lines = run("list").stdout.splitlines()
    (fresh,) = [line for line in lines if used[0].id in line]
    (gone,) = [line for line in lines if used[3].id in line]
    assert "orders.items[*].note" in fresh
    assert "randomized" in fresh
    assert "destroyed" in gone


def test_list_shows_no_secret(used):
    wrapped = [row.wrapped for row in open_store("sqlite:///data.db").keys.all() if row.wrapped]
    output = run("list").output + run("list", "--json").output
    for secret in [key.secret for key in used] + wrapped:
        assert secret.hex() not in output
        assert repr(secret)[2:-1] not in output


def test_list_needs_no_master_key(used, service):
    (service / "keys" / "master.key").unlink()
    assert run("list", "--store", "sqlite:///data.db").stdout == run("list").stdout


def test_list_of_a_store_that_is_not_there(service):
    assert "There is no store" in refused(ConfigError, "list").message
    assert not (service / "data.db").exists()


def test_list_needs_one_store(service):
    refused(UsageError, "list", "--store", "sqlite:///data.db", "-c", "streamguard.yaml")


def test_list_without_any_service_file(here):
    assert "--config" in refused(UsageError, "list").remedy
