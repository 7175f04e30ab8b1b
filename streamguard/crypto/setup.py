"""From the service file's ``keys:`` and ``store:`` to a keyring."""

from __future__ import annotations

import os

from streamguard.crypto.keyring import Keyring
from streamguard.crypto.kms.base import Kms
from streamguard.crypto.kms.local import LocalKms
from streamguard.crypto.memory import keep_private
from streamguard.errors import ConfigError
from streamguard.policy.service import Keys
from streamguard.store.store import open_store


def open_keyring(keys: Keys, store_url: str, *, create: bool = True) -> Keyring:
    """The keyring of a service; from now on the process's memory is private to it.

    With `create`, a store that is missing is made. Raises `ConfigError` for what a person has to mend, and
    `KeysUnavailableError` for what may mend itself.
    """
    keep_private()
    kms = open_kms(keys)
    return Keyring(open_store(store_url, create=create), kms)


def open_kms(keys: Keys) -> Kms:
    """The provider of the master key that ``keys:`` names."""
    if keys.file is not None:
        return LocalKms.from_file(keys.file)
    if keys.env is not None:
        return LocalKms.from_env(keys.env, os.environ)
    raise ConfigError("'keys' names no master key.", "Write 'file: streamguard.key' or 'env: NAME'.")
