"""Master keys on this machine: a file that only its owner can read, or, for development, an environment variable.

One line of text per master key, ``sgmk1.<id>.<base64url of 32 bytes>``; the last one wraps, all of them unwrap, so that
rotation is one more line. The id is a digest of the key, which tells a damaged line from a good one.

A line ``sgmp1.<id>.<base64url>`` is a master key that a passphrase protects: AES-256-GCM under Argon2id (RFC 9106) of
the passphrase, whose parameters and salt stand in the line.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from streamguard.crypto.kms.refused import refused
from streamguard.crypto.kms.wrapped import LOCAL
from streamguard.errors import ConfigError

_LINE: Final = re.compile(r"sgmk1\.([0-9a-f]{12})\.([A-Za-z0-9_-]{43})")
_PROTECTED: Final = re.compile(r"sgmp1\.([0-9a-f]{12})\.([A-Za-z0-9_-]{118})")
_ITERATIONS: Final = 3
_LANES: Final = 4
_MEMORY: Final = 65_536  # KiB: the second recommended option of RFC 9106, section 4
_MOST_WORK: Final = 1 << 26  # iterations times KiB: a minute, as a damaged line must not ask for a year
_MOST_BYTES: Final = 1 << 20  # of a master key file: thousands of keys
_HEADER: Final = """\
# StreamGuard master key. Whoever reads this file can reveal every protected value; when it is lost, so are they.
# Keep a copy in a safe place, apart from the store. The last line wraps new data keys; older lines still unwrap.
"""


class LocalKms:
    """Wraps with AES-256-GCM under master keys held in this process's memory."""

    def __init__(self, masters: list[bytes]) -> None:
        self._masters = {master_id(master): AESGCM(master) for master in masters}
        self._current = master_id(masters[-1])

    @classmethod
    def from_file(cls, path: Path, passphrase: str | None = None) -> LocalKms:
        """Read master keys from a file. Raises `ConfigError` when others may read it, or when it is damaged.

        `passphrase` opens those that are protected by it; a file may have others as well.
        """
        return cls(_parse(_read_private(path), f"the file {path}", passphrase))

    @classmethod
    def from_env(cls, name: str, environment: Mapping[str, str]) -> LocalKms:
        """Read master keys, separated by white space, from the environment variable `name`: for development."""
        text = environment.get(name)
        if not text:
            raise ConfigError(
                f"The environment variable {name} holds no master key.",
                f"Make one with: streamguard keys init --env {name}",
            )
        return cls(_parse(text, f"the environment variable {name}"))

    @property
    def name(self) -> str:
        """``local:`` and the id of the master key that wraps."""
        return f"local:{self._current}"

    def opens(self, master: str) -> bool:
        return master.removeprefix("local:") in self._masters and master.startswith("local:")

    def wrap(self, secret: bytes) -> bytes:
        """``sgw1 | master id | nonce | ciphertext and tag``; the first two are authenticated as well."""
        nonce = os.urandom(12)
        head = LOCAL + bytes.fromhex(self._current)
        return head + nonce + self._masters[self._current].encrypt(nonce, secret, head)

    def unwrap(self, wrapped: bytes) -> bytes:
        """The secret inside. Raises `KeysUnavailableError` when its master key is not here, or when it was damaged."""
        head, nonce, sealed = wrapped[:10], wrapped[10:22], wrapped[22:]
        master = self._masters.get(head[4:].hex()) if head.startswith(LOCAL) else None
        if master is None:
            raise refused(
                f"A data key was wrapped by another master key than those given ({', '.join(self._masters)}).",
                "Give the service the master key that `streamguard keys list --json` names beside it.",
            )
        try:
            return master.decrypt(nonce, sealed, head)
        except (InvalidTag, ValueError):
            raise refused(
                "A data key in the store is damaged: it does not unwrap.", "Restore the store from a backup."
            ) from None

    def health(self) -> None:
        """Always well: what could fail failed when the keys were read."""


def generate() -> bytes:
    """A new master key: 32 random bytes."""
    return secrets.token_bytes(32)


def master_id(master: bytes) -> str:
    """The public id of a master key: twelve hexadecimal digits of its SHA-256."""
    return sha256(b"sgmk1" + master).hexdigest()[:12]


def format_line(master: bytes) -> str:
    """A master key as it is written in a file or a variable. Secret."""
    return f"sgmk1.{master_id(master)}.{urlsafe_b64encode(master).rstrip(b'=').decode()}"


def format_protected(master: bytes, passphrase: str) -> str:
    """A master key as it is written in a file that is worth nothing without the passphrase."""
    head = b"".join(number.to_bytes(4) for number in (_ITERATIONS, _LANES, _MEMORY)) + os.urandom(16)
    nonce = os.urandom(12)
    sealed = _passphrase_key(passphrase, head).encrypt(nonce, master, b"sgmp1" + head)
    return f"sgmp1.{master_id(master)}.{urlsafe_b64encode(head + nonce + sealed).rstrip(b'=').decode()}"


def write_file(path: Path, master: bytes, passphrase: str | None = None) -> None:
    """Write a new master key file, mode 0600, in a directory that is created with mode 0700 where it is missing.

    With a `passphrase` it can be read only together with that. Raises `ConfigError` when the file exists (a master key
    is never overwritten) or cannot be written.
    """
    line = format_line(master) if passphrase is None else format_protected(master, passphrase)
    try:
        _make_directory(path.parent)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ConfigError(
            f"{path} exists already, and a master key is never overwritten: every value it protects would be lost.",
            "Name another file, or go on with this one.",
        ) from None
    except OSError as error:
        raise ConfigError(
            f"The file {path} cannot be created: {os.strerror(error.errno or 0)}.", "Name another file."
        ) from None
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{_HEADER}{line}\n")
            file.flush()
            os.fsync(handle)
        _sync_directory(path.parent)
    except OSError as error:
        path.unlink(missing_ok=True)  # no half a key stays behind
        raise ConfigError(
            f"The file {path} cannot be written: {os.strerror(error.errno or 0)}.",
            "Make room, or name another file.",
        ) from None


def _read_private(path: Path) -> str:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise ConfigError(
            f"There is no master key file {path}.", f"Create one with: streamguard keys init --file {path}"
        ) from None
    except OSError:
        raise ConfigError(
            f"The master key file {path} cannot be opened.",
            "Let the user that runs StreamGuard own it (mode 0600).",
        ) from None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"{path} is not a file.", "Name a file made by: streamguard keys init")
        if found.st_mode & 0o077:
            raise ConfigError(f"Others may read the master key file {path}.", f"Run: chmod 600 {path}")
        return os.read(handle, _MOST_BYTES).decode("ascii", errors="replace")
    finally:
        os.close(handle)


def _parse(text: str, where: str, passphrase: str | None = None) -> list[bytes]:
    words = " ".join(line for line in text.splitlines() if not line.lstrip().startswith("#")).split()
    masters = [_read_word(word, where, passphrase) for word in words]
    good = [master for master in masters if master is not None]
    if not masters or len(good) < len(masters):
        raise ConfigError(
            f"What {where} holds is not a StreamGuard master key, or it is damaged.",
            "Restore it from its copy: a new master key cannot read what this one protected.",
        )
    return good


def _read_word(word: str, where: str, passphrase: str | None) -> bytes | None:
    if found := _LINE.fullmatch(word):
        master = urlsafe_b64decode(found[2] + "=")
        return master if master_id(master) == found[1] else None
    if found := _PROTECTED.fullmatch(word):
        if passphrase is None:
            raise ConfigError(
                f"The master key in {where} is protected by a passphrase, and none is given.",
                "Write 'passphrase: ${NAME}' or 'passphrase_file' beside the file.",
            )
        master = _unprotect(urlsafe_b64decode(found[2] + "=="), where, passphrase)
        return master if master_id(master) == found[1] else None
    return None


def _unprotect(data: bytes, where: str, passphrase: str) -> bytes:
    head, nonce, sealed = data[:28], data[28:40], data[40:]
    try:
        return _passphrase_key(passphrase, head).decrypt(nonce, sealed, b"sgmp1" + head)
    except (InvalidTag, ValueError):
        raise ConfigError(
            f"The passphrase does not open the master key in {where}.",
            "Give the one it was protected with; if it is that one, the line is damaged: restore it from its copy.",
        ) from None


def _passphrase_key(passphrase: str, head: bytes) -> AESGCM:
    """`head` has Argon2id's iterations, lanes and memory (KiB), four bytes each, and the salt."""
    iterations, lanes, memory = (int.from_bytes(head[at : at + 4]) for at in (0, 4, 8))
    if iterations * memory > _MOST_WORK or lanes > 64:
        raise ValueError
    try:
        derive = Argon2id(
            salt=head[12:], length=32, iterations=iterations, lanes=lanes, memory_cost=memory
        ).derive
    except UnsupportedAlgorithm:
        raise ConfigError(
            "This build of the library 'cryptography' has no Argon2id.",
            "Install one with OpenSSL 3.2 or newer.",
        ) from None
    return AESGCM(derive(passphrase.encode()))


def _make_directory(path: Path) -> None:
    if not path.exists():
        _make_directory(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
