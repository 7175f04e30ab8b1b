"""Master keys in a hardware security module, through its PKCS#11 library (OASIS PKCS #11 v2.40).

The master key is an AES key object, found by its label on a token that is found by its own; it encrypts data keys with
CKM_AES_GCM under random nonces of 96 bits. `streamguard keys init` does not make it: the tools of the HSM do.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

from streamguard.crypto.kms.base import PROBE, RemoteKms
from streamguard.crypto.kms.refused import refused
from streamguard.errors import ConfigError, KeysUnavailableError

try:
    import pkcs11
except ModuleNotFoundError:
    raise ConfigError(
        "Master keys in an HSM need a package that is not installed.",
        "Run: pip install 'streamguard[pkcs11]'",
    ) from None

_NONCE: Final = 12
_TAG_BITS: Final = 128
_CONTEXT: Final = b"sgw2"  # authenticated with every data key

# What will be the same a moment later. The HSM's own name of the error, without its text, decides.
_REFUSALS: Final[dict[type[Exception], str]] = {
    pkcs11.NoSuchKey: "There is no AES key of this label on the HSM's token.",
    pkcs11.MultipleObjectsReturned: "Several AES keys of the HSM's token have this label.",
    pkcs11.MultipleTokensReturned: "Several tokens of the HSM have this label.",
    pkcs11.PinExpired: "The HSM's PIN has expired.",
    pkcs11.PinLocked: "The HSM's PIN is locked.",
    pkcs11.UserPinNotInitialized: "The HSM's token has no user PIN yet.",
    pkcs11.MechanismInvalid: "The HSM cannot encrypt with AES-GCM (CKM_AES_GCM).",
    pkcs11.MechanismParamInvalid: "The HSM does not take nonces from outside for AES-GCM.",
    pkcs11.KeyTypeInconsistent: "The key in the HSM is not an AES key.",
    pkcs11.FunctionNotSupported: "The HSM's library does not support encryption.",
}


class Pkcs11Kms(RemoteKms):
    """One AES key of one token."""

    def __init__(self, module: Path, token: str, key: str, pin: Callable[[], str]) -> None:
        if not module.is_file():
            raise ConfigError(
                f"There is no PKCS#11 library {module}.", "Name the one that came with the HSM in 'module'."
            )
        self._library = _library(str(module))
        self._token = token
        self._key = key
        self._pin = pin

    def opens(self, master: str) -> bool:
        return master == self._master

    def _encrypt(self, secret: bytes) -> tuple[str, bytes]:
        nonce = os.urandom(_NONCE)
        return self._master, nonce + self._use(lambda key: _seal(key, nonce, secret))

    def _decrypt(self, ciphertext: bytes) -> bytes:
        nonce, sealed = ciphertext[:_NONCE], ciphertext[_NONCE:]
        try:
            return self._use(lambda key: _open(key, nonce, sealed))
        except KeysUnavailableError as error:
            if error.lasts:
                raise
            # Libraries differ in what they say of a wrong tag; that all else works says it, too.
            self._use(lambda key: _seal(key, os.urandom(_NONCE), PROBE))
            raise refused(
                "A data key in the store is damaged: it does not unwrap.", "Restore the store from a backup."
            ) from None

    @property
    def _master(self) -> str:
        return f"pkcs11:{self._token}/{self._key}"

    def _use(self, use: Callable[[Any], bytes]) -> bytes:
        with self._library.lock:
            try:
                return self._use_or_begin_anew(use)
            except tuple(_REFUSALS) as error:
                raise refused(_REFUSALS[type(error)], "Check 'token' and 'key', and the HSM.") from None
            except (pkcs11.PKCS11Error, RuntimeError, OSError):
                self._library.restart()
                raise KeysUnavailableError(
                    "The HSM does not answer.", "See that its token can be reached from here."
                ) from None

    def _use_or_begin_anew(self, use: Callable[[Any], bytes]) -> bytes:
        try:
            return self._use_once(use)
        except pkcs11.NoSuchKey:
            # A session that lost its login, as the HSM was away, still answers: it sees no keys.
            if self._token not in self._library.proven:
                raise
            self._library.restart()
            return self._use_once(use)

    def _use_once(self, use: Callable[[Any], bytes]) -> bytes:
        session = self._library.session(self._token, self._pin)
        key = session.get_key(
            object_class=pkcs11.ObjectClass.SECRET_KEY, key_type=pkcs11.KeyType.AES, label=self._key
        )
        self._library.proven.add(self._token)
        return use(key)


class _Library:
    """One PKCS#11 library, which a process has only once, and its sessions: one per token, used one at a time."""

    def __init__(self, path: str) -> None:
        self.lock = threading.Lock()
        self._path = path
        self._sessions: dict[str, pkcs11.Session] = {}
        self.proven: set[str] = set()  # tokens whose session has found a key
        self._wrong_pins: set[tuple[str, str]] = set()

    def session(self, token: str, ask_pin: Callable[[], str]) -> pkcs11.Session:
        """A session of a user who is logged in."""
        if token not in self._sessions:
            pin = ask_pin()
            if (token, pin) in self._wrong_pins:  # a few tries more, and the HSM locks the PIN
                raise _wrong_pin()
            try:
                self._sessions[token] = pkcs11.lib(self._path).get_token(token_label=token).open(user_pin=pin)
            except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange):
                self._wrong_pins.add((token, pin))
                raise _wrong_pin() from None
        return self._sessions[token]

    def restart(self) -> None:
        """Begin anew with the next session: an HSM that was away does not know the old ones any more."""
        self._sessions.clear()
        self.proven.clear()
        with suppress(pkcs11.PKCS11Error, RuntimeError, OSError):
            pkcs11.lib(self._path).finalize()


_library: Final = cache(_Library)


def _wrong_pin() -> KeysUnavailableError:
    return refused("The HSM does not take this PIN.", "Correct it; StreamGuard tries no PIN twice.")


def _seal(key: Any, nonce: bytes, secret: bytes) -> bytes:
    mechanism = pkcs11.GCMParams(nonce, _CONTEXT, _TAG_BITS)
    sealed: bytes = key.encrypt(secret, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=mechanism)
    return sealed


def _open(key: Any, nonce: bytes, sealed: bytes) -> bytes:
    mechanism = pkcs11.GCMParams(nonce, _CONTEXT, _TAG_BITS)
    secret: bytes = key.decrypt(sealed, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=mechanism)
    return secret
