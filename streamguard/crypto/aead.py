"""Sealing columns of values into tokens, and opening tokens again.

AES-256-GCM (NIST SP 800-38D) with random 96-bit nonces, and AES-256-SIV (RFC 5297) where equal values must give equal
tokens. Every ciphertext is bound to its kind, key and element: a token that was moved, edited or cut does not open.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import chain, repeat
from operator import add
from struct import Struct
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

from streamguard.crypto.keyring import DataKey, Keyring
from streamguard.crypto.wire import (
    MALFORMED,
    Token,
    aad,
    decode_value,
    encode_column,
    format_tokens,
    pad,
    parse_token,
)
from streamguard.errors import TokenError

_NONCE: Final = Struct("12s")
_TAG_BYTES: Final = 16
_DOES_NOT_OPEN: Final = "The token does not open: it was edited or cut, or moved from where it was made."


class GcmSealer:
    """Kind ``e``: the same value gives another token each time. Payload: nonce (12) ‖ ciphertext ‖ tag (16)."""

    kind: Final = "e"

    def __init__(self, key: DataKey) -> None:
        self.key = key
        self._encrypt = AESGCM(key.subkey(self.kind)).encrypt
        self._aad = aad(self.kind, key.id, key.element)

    def seal(self, values: Sequence[Any], pad_to: int = 0) -> list[str]:
        """A column of values as tokens; `pad_to` hides lengths up to a multiple of so many bytes.

        The key must have been taken with ``Keyring.fresh(…, uses=len(values))``. Raises `TokenError` for a value that
        `encode_value` refuses.
        """
        nonces = list(chain.from_iterable(_NONCE.iter_unpack(os.urandom(_NONCE.size * len(values)))))
        sealed = map(self._encrypt, nonces, _encoded(values, pad_to), repeat(self._aad))
        return format_tokens(self.kind, self.key.id, map(add, nonces, sealed))


class SivSealer:
    """Kind ``d``: equal values of one element give equal tokens. Payload: synthetic IV (16) ‖ ciphertext."""

    kind: Final = "d"

    def __init__(self, key: DataKey) -> None:
        self.key = key
        self._encrypt = AESSIV(key.subkey(self.kind, 64)).encrypt
        self._aad = [aad(self.kind, key.id, key.element)]

    def seal(self, values: Sequence[Any], pad_to: int = 0) -> list[str]:
        """A column of values as tokens, as `GcmSealer.seal` does."""
        sealed = map(self._encrypt, _encoded(values, pad_to), repeat(self._aad))
        return format_tokens(self.kind, self.key.id, sealed)


def _encoded(values: Sequence[Any], pad_to: int) -> list[bytes]:
    encoded = encode_column(values)
    return [pad(data, pad_to) for data in encoded] if pad_to else encoded


def open_token(text: str, keyring: Keyring) -> Any:
    """The value inside a token of kind ``e`` or ``d``, with its type.

    Raises `TokenError` when the token is malformed, edited, cut, of another element or of a kind that holds no value;
    `KeyMissingError` when its key is unknown or destroyed; `KeysUnavailableError` when that cannot be found out now.
    """
    token = parse_token(text)
    if token.kind not in ("e", "d"):
        raise TokenError("This token is of a kind that holds no value of a field.")
    key = keyring.find(token.key_id)
    return decode_value(_decrypt(token, key, key.element))


def seal_original(key: DataKey, violation_id: str, original: bytes) -> str:
    """Kind ``q``: the original of a violation, as a token that opens only together with the violation's id.

    The key comes from `Keyring.quarantine`, one use per original.
    """
    nonce = os.urandom(_NONCE.size)
    bound = aad("q", key.id, f"{key.element}|{violation_id}")
    sealed = AESGCM(key.subkey("q")).encrypt(nonce, b"b" + original, bound)
    (token,) = format_tokens("q", key.id, [nonce + sealed])
    return token


def open_original(text: str, violation_id: str, keyring: Keyring) -> bytes:
    """The bytes that `seal_original` sealed for this violation. Raises as `open_token` does."""
    token = parse_token(text)
    if token.kind != "q":
        raise TokenError("This token is not the original of a violation.")
    key = keyring.find(token.key_id)
    original = decode_value(_decrypt(token, key, f"{key.element}|{violation_id}"))
    if not isinstance(original, bytes):
        raise TokenError(MALFORMED)
    return original


def _decrypt(token: Token, key: DataKey, element: str) -> bytes:
    payload, bound = token.payload, aad(token.kind, key.id, element)
    try:
        if token.kind == "d":
            return AESSIV(key.subkey("d", 64)).decrypt(payload, [bound])
        if len(payload) < _NONCE.size + _TAG_BYTES:
            raise TokenError(MALFORMED)
        return AESGCM(key.subkey(token.kind)).decrypt(payload[:12], payload[12:], bound)
    except (InvalidTag, ValueError):
        raise TokenError(_DOES_NOT_OPEN) from None
