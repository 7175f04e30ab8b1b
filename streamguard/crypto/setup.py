"""From the service file's ``keys:`` and ``store:`` to a keyring."""

from __future__ import annotations

import os
from pathlib import Path
from typing import assert_never

from streamguard.crypto.keyring import Keyring
from streamguard.crypto.kms.base import Kms
from streamguard.crypto.kms.local import LocalKms
from streamguard.crypto.kms.resilient import Observer, ResilientKms, nobody
from streamguard.crypto.kms.secret import secret
from streamguard.crypto.kms.succession import Succession
from streamguard.crypto.memory import keep_private
from streamguard.errors import ConfigError
from streamguard.policy.keys import AwsKeys, Keys, LocalKeys, Pkcs11Keys, VaultKeys
from streamguard.store.store import open_store

# The library of a key service is an extra: imported where its provider is opened, whose module says what is missing.
# ruff: noqa: PLC0415


def open_keyring(keys: Keys, store_url: str, *, create: bool = True, observe: Observer = nobody) -> Keyring:
    """The keyring of a service; from now on the process's memory is private to it.

    With `create`, a store that is missing is made. `observe` is told of every request to the service of the master
    key. Raises `ConfigError` for what a person has to mend, and `KeysUnavailableError` for what may mend itself.
    """
    keep_private()
    kms = open_kms(keys, observe)
    return Keyring(open_store(store_url, create=create), kms)


def open_kms(keys: Keys, observe: Observer = nobody) -> Kms:
    """The provider of the master key that ``keys:`` names; no service is asked anything yet."""
    current = _open(keys, observe)
    return (
        Succession(current, [open_kms(entry, observe) for entry in keys.earlier]) if keys.earlier else current
    )


def _open(keys: Keys, observe: Observer) -> Kms:
    match keys:
        case LocalKeys():
            return _local(keys)
        case VaultKeys():
            from streamguard.crypto.kms.vault import VaultKms

            if keys.ca is not None:
                _is_file(keys.ca, "ca")
            token = secret(keys.token, keys.token_file, "token for Vault")
            vault = VaultKms(
                keys.address, keys.key, token, mount=keys.mount, ca=keys.ca, namespace=keys.namespace
            )
            return ResilientKms(vault, keys.provider, observe)
        case AwsKeys():
            from streamguard.crypto.kms.aws import AwsKms

            aws = AwsKms(keys.key, region=keys.region, endpoint_url=keys.endpoint_url)
            return ResilientKms(aws, keys.provider, observe)
        case Pkcs11Keys():
            from streamguard.crypto.kms.pkcs11 import Pkcs11Kms

            pin = secret(keys.pin, keys.pin_file, "PIN of the HSM")
            return ResilientKms(Pkcs11Kms(keys.module, keys.token, keys.key, pin), keys.provider, observe)
        case _:
            assert_never(keys)


def _local(keys: LocalKeys) -> LocalKms:
    if keys.file is not None:
        return LocalKms.from_file(keys.file, passphrase(keys))
    if keys.env is not None:
        return LocalKms.from_env(keys.env, os.environ)
    raise ConfigError("'keys' names no master key.", "Write 'file: streamguard.key' or 'env: NAME'.")


def passphrase(keys: LocalKeys) -> str | None:
    """What opens the master key file, where it is protected. Raises `ConfigError` when it cannot be read."""
    if keys.passphrase is None and keys.passphrase_file is None:
        return None
    return secret(keys.passphrase, keys.passphrase_file, "passphrase")()


def _is_file(path: Path, name: str) -> None:
    if not path.is_file():
        raise ConfigError(f"There is no file {path}.", f"Correct '{name}' below 'keys'.")
