"""Secrets that open a key service, and the packages that speak to it."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr, TypeAdapter

from streamguard.crypto.kms.secret import secret
from streamguard.crypto.setup import open_kms
from streamguard.errors import ConfigError, KeysUnavailableError
from streamguard.policy.keys import Keys

SETTINGS = {
    "vault": {"address": "http://127.0.0.1:1", "key": "streamguard", "token": "t"},
    "aws": {"key": "alias/streamguard", "region": "eu-central-1"},
    "pkcs11": {"module": __file__, "token": "t", "key": "k", "pin": "1"},
}


def test_a_value_is_a_secret(tmp_path: Path):
    assert secret(SecretStr(" hunter2\n"), None, "token")() == "hunter2"
    with pytest.raises(ConfigError, match="token is empty"):
        secret(SecretStr(" "), None, "token")
    with pytest.raises(ConfigError, match="no token"):
        secret(None, None, "token")


def test_a_file_is_read_every_time(tmp_path: Path):
    file = tmp_path / "token"
    file.write_text("one\n")
    file.chmod(0o640)
    read = secret(None, file, "token")
    assert read() == "one"
    file.write_text("two")
    assert read() == "two"
    file.write_text("")
    with pytest.raises(KeysUnavailableError, match="holds no token"):
        read()
    file.unlink()
    with pytest.raises(KeysUnavailableError, match="cannot be read"):
        read()


def test_a_file_that_everybody_may_read_is_refused(tmp_path: Path):
    file = tmp_path / "token"
    file.write_text("hunter2")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="Everybody may read"):
        secret(None, file, "token")


@pytest.mark.parametrize(("provider", "package"), [("vault", "hvac"), ("aws", "boto3"), ("pkcs11", "pkcs11")])
def test_a_package_that_is_missing_is_named(provider: str, package: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"streamguard.crypto.kms.{provider}", raising=False)
    keys = TypeAdapter(Keys).validate_python({"provider": provider, **SETTINGS[provider]})
    with pytest.raises(ConfigError) as failure:
        open_kms(keys)
    assert failure.value.remedy == f"Run: pip install 'streamguard[{provider}]'"


def test_those_packages_are_imported_only_where_they_are_used():
    code = "import sys, streamguard.crypto.setup; print({'hvac', 'boto3', 'pkcs11'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"provider": "vault", **SETTINGS["vault"], "ca": "none.pem"}, "no file none.pem"),
        ({"provider": "pkcs11", **SETTINGS["pkcs11"], "module": "none.so"}, "no PKCS#11 library none.so"),
    ],
)
def test_files_that_are_missing_are_named(settings: dict[str, str], message: str):
    with pytest.raises(ConfigError, match=message):
        open_kms(TypeAdapter(Keys).validate_python(settings))
