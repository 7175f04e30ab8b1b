"""From the service file to a keyring, and what the process gives up for it."""

import subprocess
import sys
from pathlib import Path

import pytest

from streamguard.crypto.kms.local import format_line, generate, write_file
from streamguard.crypto.setup import open_keyring
from streamguard.errors import ConfigError
from streamguard.policy.keys import LocalKeys


@pytest.fixture
def file(tmp_path):
    write_file(tmp_path / "master.key", generate())
    return tmp_path / "master.key"


def test_a_keyring_from_a_file(file, tmp_path):
    url = f"sqlite:///{tmp_path}/keys.db"
    key = open_keyring(LocalKeys(file=file), url).pinned("email")
    assert open_keyring(LocalKeys(file=file), url).pinned("email") == key


def test_a_keyring_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MASTER", format_line(generate()))
    url = f"sqlite:///{tmp_path}/keys.db"
    key = open_keyring(LocalKeys(env="MASTER"), url).pinned("email")
    assert open_keyring(LocalKeys(env="MASTER"), url).pinned("email") == key


def test_no_store_is_made_for_a_reader(file, tmp_path):
    with pytest.raises(ConfigError, match="no store"):
        open_keyring(LocalKeys(file=file), f"sqlite:///{tmp_path}/keys.db", create=False)
    assert not (tmp_path / "keys.db").exists()


def test_no_store_is_made_without_a_master_key(tmp_path):
    with pytest.raises(ConfigError):
        open_keyring(LocalKeys(file=tmp_path / "none.key"), f"sqlite:///{tmp_path}/keys.db")
    assert not (tmp_path / "keys.db").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux says of a process whether it is dumpable.")
def test_memory_is_private_once_keys_are_in_it(file, tmp_path):
    script = f"""
import ctypes, resource
from pathlib import Path
from streamguard.crypto.setup import open_keyring
from streamguard.policy.keys import LocalKeys
PR_GET_DUMPABLE = 3
before = ctypes.CDLL(None).prctl(PR_GET_DUMPABLE)
open_keyring(LocalKeys(file=Path({str(file)!r})), "sqlite:///{tmp_path}/keys.db")
print(before, ctypes.CDLL(None).prctl(PR_GET_DUMPABLE), resource.getrlimit(resource.RLIMIT_CORE))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    assert done.stdout == "1 0 (0, 0)\n"
