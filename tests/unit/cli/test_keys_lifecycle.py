"""`streamguard keys rotate`, `rewrap` and `destroy`, as people call them."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from streamguard.crypto.aead import SivSealer, open_token
from streamguard.crypto.keyring import Keyring
from streamguard.crypto.kms.local import LocalKms, format_line, generate
from streamguard.errors import ConfigError, KeyMissingError, UsageError
from streamguard.store.store import open_store
from tests.unit.cli.test_keys import refused, run

COMMAND = Path(sys.executable).with_name("streamguard")
STORE = "sqlite:///data.db"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A service file here, as people have it, and its master key."""
    monkeypatch.chdir(tmp_path)
    configure()
    run("init")
    return tmp_path


def configure(destruction="{}"):
    Path("streamguard.yaml").write_text(
        "kafka: {bootstrap.servers: 'localhost:9092'}\n"
        "keys: {file: master.key}\n"
        f"key_destruction: {destruction}\n"
        "store: {url: 'sqlite:///data.db'}\n"
    )


def keyring():
    return Keyring(open_store(STORE), LocalKms.from_file(Path("master.key")))


def typed(lines, *arguments):
    """The command at a terminal, where a person types these lines; its exit code, and what was shown."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, "keys", *arguments], stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    os.write(controller, "".join(f"{line}\n" for line in lines).encode())
    shown = b""
    try:
        while piece := os.read(controller, 4096):
            shown += piece
    except OSError:  # the other end is closed
        pass
    os.close(controller)
    return process.wait(30), shown.decode()


# -- rotate ----------------------------------------------------------------------------------------------------------


def test_rotate_pins_the_next_version_and_old_tokens_stay_readable(here):
    first = keyring().pinned("email")
    token = SivSealer(first).seal(["ana"])[0]
    done = run("rotate", "--element", "email", "--yes")
    assert done.exit_code == 0
    second = keyring().pinned("email")
    assert second.id != first.id
    assert "version 2" in done.output
    assert second.id in done.output
    assert open_token(token, keyring()) == "ana"
    told = json.loads(run("rotate", "--element", "email", "--yes", "--json").stdout)
    assert told == {"element": "email", "id": keyring().pinned("email").id, "version": 3}


def test_rotate_warns_and_asks(here):
    first = keyring().pinned("email")
    assert "--yes" in refused(UsageError, "rotate", "--element", "email").remedy
    code, shown = typed(["n"], "rotate", "--element", "email")
    assert code == 1
    assert "joins no more" in " ".join(shown.split())
    assert keyring().pinned("email") == first
    assert typed(["y"], "rotate", "--element", "email")[0] == 0
    assert keyring().pinned("email") != first


def test_rotate_what_is_not_pinned(here):
    keyring().fresh("orders", "note", 1)
    assert "No key is pinned" in refused(ConfigError, "rotate", "--element", "note", "--yes").message


# -- rewrap ----------------------------------------------------------------------------------------------------------


def test_rewrap_moves_all_keys_and_the_old_master_key_can_go(here):
    keys = [keyring().pinned("email"), keyring().fresh("orders", "note", 1)]
    old = keyring()._kms.name
    new = generate()
    with Path("master.key").open("a") as file:
        file.write(format_line(new) + "\n")
    done = run("rewrap")
    assert done.exit_code == 0, done.output
    assert "Moved 2 keys" in done.output
    assert "No other master key is needed" in done.output
    assert old not in done.output
    Path("master.key").write_text(format_line(new) + "\n")
    assert [keyring().find(key.id) for key in keys] == keys
    name = LocalKms([new]).name
    assert json.loads(run("rewrap", "--json").stdout) == {
        "master": name, "moved": 0, "failed": {}, "masters": {name: 2}
    }  # fmt: skip


def test_rewrap_says_which_keys_it_could_not_move(here):
    lost = Keyring(open_store(STORE), LocalKms([generate()])).pinned("phone")
    keyring().pinned("email")
    done = run("rewrap", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["failed"].keys() == {lost.id}
    done = run("rewrap")
    assert done.exit_code == 1
    assert lost.id in done.stderr
    assert "No other master key" not in done.output


# -- destroy ---------------------------------------------------------------------------------------------------------


def test_destroy_needs_two_confirmations(here):
    key = keyring().pinned("email")
    for options in ((), ("--yes",), ("--confirm", key.id), ("--yes", "--confirm", "email")):
        assert f"--confirm {key.id}" in refused(UsageError, "destroy", key.id, *options).remedy
    assert keyring().find(key.id) == key
    done = run("destroy", key.id, "--yes", "--confirm", key.id)
    assert done.exit_code == 0, done.output
    assert "Destroyed 1 key." in done.output
    with pytest.raises(KeyMissingError, match="destroyed"):
        keyring().find(key.id)
    assert "Destroyed already" in run("destroy", key.id, "--yes", "--confirm", key.id).output


def test_destroy_asks_twice_at_a_terminal(here):
    key = keyring().pinned("email")
    for lines in (["n"], ["y", "emails"]):
        assert typed(lines, "destroy", "--element", "email")[0] != 0
        assert keyring().find(key.id) == key
    code, shown = typed(["y", "email"], "destroy", "--element", "email")
    assert code == 0, shown
    assert key.id in shown
    with pytest.raises(KeyMissingError, match="destroyed"):
        keyring().find(key.id)


def test_destroy_takes_all_keys_of_an_element(here):
    one = keyring()
    keys = [one.pinned("email"), one.fresh("orders", "email", 1)]
    one.pinned("phone")
    told = json.loads(run("destroy", "--element", "email", "--yes", "--confirm", "email", "--json").stdout)
    assert (sorted(told["destroyed"]), told["waiting"]) == (sorted(key.id for key in keys), [])
    assert [row.element for row in open_store(STORE).keys.all() if row.wrapped] == ["phone"]


def test_destroy_with_two_persons(here):
    configure("{persons: 2, within: 2h}")
    key = keyring().pinned("email")
    call = ("destroy", key.id, "--yes", "--confirm", key.id)
    asked = run(*call, "--as", "ada")
    assert asked.exit_code == 0, asked.output
    assert "not destroyed yet" in asked.output
    assert "2 hours" in asked.output
    assert json.loads(run(*call, "--as", "ada", "--json").stdout) == {"destroyed": [], "waiting": [key.id]}
    assert keyring().find(key.id) == key
    (row,) = json.loads(run("list", "--json").stdout)
    assert (row["destruction_asked_by"], row["state"]) == ("ada", "active")
    assert json.loads(run(*call, "--as", "bob", "--json").stdout) == {"destroyed": [key.id], "waiting": []}


def test_who_asks_is_the_systems_user_by_default(here):
    import pwd

    configure("{persons: 2}")
    key = keyring().pinned("email")
    run("destroy", key.id, "--yes", "--confirm", key.id)
    (row,) = open_store(STORE).keys.all()
    assert row.destruction_asked_by == pwd.getpwuid(os.getuid()).pw_name


def test_destroy_wants_one_thing_and_a_name_that_is_one(here):
    refused(UsageError, "destroy")
    refused(UsageError, "destroy", "K7dq2mXw0a", "--element", "email")
    refused(UsageError, "destroy", "K7dq2mXw0a", "--as", "two words")
    keyring().pinned("email")
    assert (
        "no such key" in refused(ConfigError, "destroy", "unknown", "--yes", "--confirm", "unknown").message
    )
