"""Secrets that open a key service: given in the service file by a ``${VARIABLE}``, or in a file of their own."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from streamguard.errors import ConfigError, KeysUnavailableError

_MOST_BYTES: Final = 65_536


def secret(value: SecretStr | None, file: Path | None, what: str) -> Callable[[], str]:
    """How to read the secret now: a file is read every time, as others (Vault's agent) renew what is in it.

    Raises `ConfigError` when there is none to begin with; later, a file that is gone is `KeysUnavailableError`.
    """
    if value is not None:
        text = value.get_secret_value().strip()
        if not text:
            raise ConfigError(
                f"The {what} is empty.", "Set the environment variable that the service file names."
            )
        return lambda: text
    if file is None:
        raise ConfigError(f"There is no {what}.", "Give it by ${VARIABLE}, or in a file.")
    _read(file, what, ConfigError)
    return lambda: _read(file, what, KeysUnavailableError)


def _read(file: Path, what: str, trouble: type[ConfigError | KeysUnavailableError]) -> str:
    try:
        with file.open("rb") as opened:
            if os.fstat(opened.fileno()).st_mode & stat.S_IROTH:
                raise trouble(f"Everybody may read the {what} in {file}.", f"Run: chmod o-rwx {file}")
            text = opened.read(_MOST_BYTES).decode("utf-8", errors="replace").strip()
    except OSError:
        raise trouble(
            f"The file {file} with the {what} cannot be read.", "Check its path and its owner."
        ) from None
    if not text:
        raise trouble(f"The file {file} holds no {what}.", "Write it there.")
    return text
