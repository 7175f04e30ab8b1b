"""``keys:`` of the service file: four providers, no secrets, and mistakes told at their place."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from streamguard.policy.keys import AwsKeys, LocalKeys, Pkcs11Keys, VaultKeys

BROKER = "kafka: {bootstrap.servers: 'localhost:9092'}\n"
VAULT = "provider: vault, address: 'https://vault:8200', key: sg"
SECRETS = {"TOKEN": "hunter2", "PIN": "4711"}


@pytest.fixture
def read(load):
    return lambda keys: load(f"{BROKER}keys: {keys}\n", **SECRETS).keys


def test_vault(read, tmp_path: Path):
    keys = read(f"{{{VAULT}, token: '${{TOKEN}}', mount: a/b, ca: ca.pem, namespace: ns}}")
    assert keys == VaultKeys(
        provider="vault",
        address="https://vault:8200",
        key="sg",
        token=SecretStr("hunter2"),
        mount="a/b",
        ca=tmp_path / "ca.pem",
        namespace="ns",
    )
    assert "hunter2" not in repr(keys) + str(keys.model_dump())
    assert read(f"{{{VAULT}, token_file: token}}").token_file == tmp_path / "token"


def test_aws(read):
    arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    assert read(f"{{provider: aws, key: '{arn}'}}") == AwsKeys(provider="aws", key=arn)
    assert read("{provider: aws, key: alias/sg, region: eu-west-1}").region == "eu-west-1"


def test_pkcs11(read, tmp_path: Path):
    assert read("{provider: pkcs11, module: lib.so, token: my token, key: k, pin: '${PIN}'}") == Pkcs11Keys(
        provider="pkcs11", module=tmp_path / "lib.so", token="my token", key="k", pin=SecretStr("4711")
    )


def test_earlier_master_keys(read, tmp_path: Path):
    keys = read("{file: new.key, earlier: [{file: old.key}, {provider: aws, key: alias/sg}]}")
    assert keys.earlier == (
        LocalKeys(file=tmp_path / "old.key"),
        AwsKeys(provider="aws", key="alias/sg"),
    )


@pytest.mark.parametrize(
    ("keys", "code", "message", "suggestion"),
    [
        (f"{{{VAULT}}}", "wrong_value", "'keys' must have token or token_file", "either 'token: ${VAULT_TOKEN}' or"),
        (f"{{{VAULT}, token: '${{TOKEN}}', token_file: t}}", "wrong_value", "'keys' has both token and token_file", ""),
        (f"{{{VAULT}, token: s.hunter2}}", "secret_in_file", "'token' is a secret, and does not belong", ""),
        (f"{{{VAULT}, token: 'x${{TOKEN}}'}}", "secret_in_file", "'token' is a secret", ""),
        (f"{{{VAULT}, token: '${{TOKEN:-hunter2}}'}}", "secret_in_file", "'token' is a secret", ""),
        (f"{{{VAULT}, token_file: t, adress: x}}", "unknown_key", "unknown key 'adress'", "did you mean 'address'?"),
        (f"{{{VAULT}, token_file: t, file: x}}", "unknown_key", "unknown key 'file'", "known here: earlier, pro"),
        ("{provider: vault, key: k, token_file: t}", "missing", "'address' is missing", "write an address such as"),
        ("{provider: vault, address: 'http://vault', key: k, token_file: t}", "wrong_value", "'address' must be", ""),
        ("{provider: vault, address: 'https://a:b@v', key: k, token_file: t}", "wrong_value", "'address' must be", ""),
        ("{provider: vault, address: 'https://v', key: a/b, token_file: t}", "wrong_value", "'key' must be", ""),
        ("{provider: aws, key: a, file: b}", "unknown_key", "unknown key 'file'", "known here: earlier, provider, key"),
        ("{provider: pkcs11, module: m, token: t, key: k}", "wrong_value", "'keys' must have pin or pin_file", ""),
        ("{provider: pkcs11, module: m, token: t, key: k, pin: '4711'}", "secret_in_file", "'pin' is a secret", ""),
        ("{provider: 7, file: k}", "wrong_value", "'provider' must be local, vault, aws or pkcs11", ""),
        ("{file: k, passphrase: hunter2}", "secret_in_file", "'passphrase' is a secret", ""),
        ("{env: K, passphrase_file: p}", "wrong_value", "'keys' has a passphrase, which is for a file", ""),
        ("{file: k, earlier: [{env: A, file: b}]}", "wrong_value", "entry 1 of 'earlier' must say where", ""),
        ("{file: k, earlier: [{provider: aws}]}", "missing", "'key' is missing", "write a key's ARN"),
        ("{file: k, earlier: [{file: l, passphrase: hunter2}]}", "secret_in_file", "'passphrase' is a secret", ""),
        ("{file: k, earlier: {file: l}}", "wrong_type", "'earlier' must be a list", ""),
        ("[]", "wrong_type", "'keys' must be a mapping", ""),
    ],
)  # fmt: skip
def test_mistakes(problems_of, keys: str, code: str, message: str, suggestion: str):
    (problem,) = problems_of(f"{BROKER}keys: {keys}\n", **SECRETS)
    assert problem.code == code
    assert problem.message.startswith(message)
    assert problem.suggestion.startswith(suggestion)
    assert "hunter2" not in str(problem)
