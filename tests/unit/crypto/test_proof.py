"""What `streamguard check --online` proves, with master keys of this machine."""

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from streamguard.cli import app
from streamguard.crypto.keyring import Keyring
from streamguard.crypto.kms.local import LocalKms, generate, write_file
from streamguard.crypto.proof import prove
from streamguard.policy.keys import LocalKeys
from streamguard.store.store import open_store


@pytest.fixture
def keys(tmp_path: Path) -> LocalKeys:
    write_file(tmp_path / "master.key", generate())
    return LocalKeys(file=tmp_path / "master.key")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/keys.db"


def said(keys: LocalKeys, url: str) -> list[tuple[str, bool, str]]:
    return [(proof.part, proof.ok, proof.message) for proof in prove(keys, url)]


def test_before_the_first_start(keys: LocalKeys, url: str, tmp_path: Path):
    assert said(keys, url) == [
        ("keys", True, "wraps and unwraps"),
        ("store", True, "is not there yet: the service will make it"),
    ]
    assert not (tmp_path / "keys.db").exists()


def test_every_master_key_of_the_store_is_tried(keys: LocalKeys, url: str):
    ours, lost = LocalKms.from_file(keys.file), LocalKms([generate()])
    for kms, element in [(ours, "a"), (ours, "b"), (lost, "c")]:
        Keyring(open_store(url), kms).pinned(element)
    proofs = prove(keys, url)
    assert [(proof.name, proof.ok) for proof in proofs[:2]] == [(ours.name, True), ("SQLite", True)]
    assert {proof.name: (proof.ok, proof.message) for proof in proofs[2:]} == {
        ours.name: (True, "unwraps: 2 data keys in the store"),
        lost.name: (
            False,
            f"A data key was wrapped by another master key than those given ({ours.name[6:]}).",
        ),
    }


def test_what_is_missing_is_told(keys: LocalKeys, url: str, tmp_path: Path):
    lost = LocalKeys(file=tmp_path / "none.key")
    (tmp_path / "keys.db").write_bytes(b"not a database, although it is long enough to be one" * 50)
    (key, store) = prove(lost, url)
    assert (key.name, key.ok, store.name, store.ok) == ("local", False, "sqlite", False)
    assert "none.key" in key.message
    assert "not a StreamGuard store" in store.message


def test_online_needs_a_service_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policies").mkdir()
    done = CliRunner().invoke(app, ["check", "--online"])
    assert done.exit_code != 0
    assert "service file" in str(done.exception)


def test_a_service_file_that_cannot_be_read_proves_nothing(tmp_path: Path):
    (tmp_path / "s.yaml").write_text("kafka: {bootstrap.servers: x}\nkeys: {provider: valt}\n")
    done = CliRunner().invoke(app, ["check", "-c", str(tmp_path / "s.yaml"), "--online", "--json"])
    assert done.exit_code == 1
    assert orjson.loads(done.stdout)["online"] == []
