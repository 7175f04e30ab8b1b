"""Sealing columns of values into tokens, and opening tokens again.

AES-256-GCM (NIST SP 800-38D) with random 96-bit nonces, and AES-256-SIV (RFC 5297) where equal values must give equal
tokens. Every ciphertext is bound to its kind, key and element: a token that was moved, edited or cut does not open.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import repeat
from operator import add
from struct import Struct
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

from streamguard.crypto.cache import Cache
from streamguard.crypto.keyring import FOUND_FOR, DataKey, Keyring
from streamguard.crypto.siv import Siv
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

_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_INNER_MOST: Final = 10_000
_DOES_NOT_OPEN: Final = "The token does not open: it was edited or cut, or moved from where it was made."


def _nonces(count: int) -> tuple[bytes, ...]:
    """So many random nonces, in one draw."""
    return _nonces_of(count).unpack(os.urandom(_NONCE_BYTES * count))


@lru_cache(maxsize=64)
def _nonces_of(count: int) -> Struct:
    return Struct(f"{_NONCE_BYTES}s" * count)


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
        nonces = _nonces(len(values))
        sealed = map(self._encrypt, nonces, _encoded(values, pad_to), repeat(self._aad))
        return format_tokens(self.kind, self.key.id, map(add, nonces, sealed))


class SivSealer:
    """Kind ``d``: equal values of one element give equal tokens. Payload: synthetic IV (16) ‖ ciphertext."""

    kind: Final = "d"

    def __init__(self, key: DataKey) -> None:
        self.key = key
        self._siv = Siv(key.subkey(self.kind, 64), aad(self.kind, key.id, key.element))

    def seal(self, values: Sequence[Any], pad_to: int = 0) -> list[str]:
        """A column of values as tokens, as `GcmSealer.seal` does."""
        return format_tokens(self.kind, self.key.id, self._siv.seal(_encoded(values, pad_to)))


class SubjectSealer:
    """Kind ``s``: each value under its person's key, and that key's id hidden with it under the element's data key.

    Payload: nonce (12) ‖ AES-256-GCM, under the data key, of (length of the id (1) ‖ id of the person's key ‖ inner).
    Inner is the value under the person's key, with the same nonce: ciphertext ‖ tag (16). When that key is gone,
    nothing opens it; and as the id is inside, the token is no pseudonym of the person.
    """

    kind: Final = "s"

    def __init__(self, key: DataKey, clock: Callable[[], float] = time.monotonic) -> None:
        self.key = key
        self._outer = AESGCM(key.subkey(self.kind)).encrypt
        self._aad = aad(self.kind, key.id, key.element)
        self._inner: Cache[str, _Inner] = Cache(FOUND_FOR, _INNER_MOST, clock)

    def seal(self, values: Sequence[Any], subjects: Sequence[DataKey], pad_to: int = 0) -> list[str]:
        """A column of values as tokens; `subjects` are their persons' keys. Otherwise as `GcmSealer.seal`."""
        nonces = _nonces(len(values))
        outer, bound = self._outer, self._aad
        payloads = [
            nonce + outer(nonce, inner.head + inner.encrypt(nonce, data, inner.aad), bound)
            for nonce, data, inner in zip(
                nonces, _encoded(values, pad_to), self._under(subjects), strict=True
            )
        ]
        return format_tokens(self.kind, self.key.id, payloads)

    def _under(self, subjects: Sequence[DataKey]) -> list[_Inner]:
        known = self._inner.get_many({key.id for key in subjects})
        for key in subjects:
            if key.id not in known:
                known[key.id] = _Inner(key, self.key.element)
                self._inner.put(key.id, known[key.id])
        return [known[key.id] for key in subjects]


class _Inner:
    """One person's key, ready to encrypt values of one element."""

    __slots__ = ("aad", "encrypt", "head")

    def __init__(self, key: DataKey, element: str) -> None:
        self.encrypt = AESGCM(key.subkey(SubjectSealer.kind)).encrypt
        self.aad = aad(SubjectSealer.kind, key.id, element)
        self.head = bytes([len(key.id)]) + key.id.encode()


def _encoded(values: Sequence[Any], pad_to: int) -> list[bytes]:
    encoded = encode_column(values)
    return [pad(data, pad_to) for data in encoded] if pad_to else encoded


VALUE_KINDS: Final = ("e", "d", "s")
"""The kinds whose tokens hold the value of a field."""


def open_token(text: str, keyring: Keyring, element: str | None = None) -> Any:
    """The value inside a token of kind ``e``, ``d`` or ``s``, with its type.

    Raises `TokenError` when the token is malformed, edited, cut, of a kind that holds no value, or of another element
    than `element`, where that is given; `KeyMissingError` when its key, or its person's, is unknown or destroyed;
    `KeysUnavailableError` when that cannot be found out now.
    """
    token = parse_token(text)
    if token.kind not in VALUE_KINDS:
        raise TokenError("This token is of a kind that holds no value of a field.")
    key = keyring.find(token.key_id)
    if element is not None and key.element != element:
        raise TokenError("The token belongs to another element than the field it stands in.")
    plain = _decrypt(token, key, key.element)
    return decode_value(_opened_inner(token.payload, plain, key, keyring) if token.kind == "s" else plain)


def _opened_inner(payload: bytes, plain: bytes, key: DataKey, keyring: Keyring) -> bytes:
    """What a person's key protects inside a token of kind ``s``."""
    end = 1 + plain[0] if plain else 0
    try:
        subject = keyring.subjects.find(plain[1:end].decode("ascii"))
        inner = AESGCM(subject.subkey("s"))
        return inner.decrypt(payload[:12], plain[end:], aad("s", subject.id, key.element))
    except (InvalidTag, ValueError):
        raise TokenError(_DOES_NOT_OPEN) from None


def seal_original(key: DataKey, violation_id: str, original: bytes) -> str:
    """Kind ``q``: the original of a violation, as a token that opens only together with the violation's id.

    The key comes from `Keyring.quarantine`, one use per original.
    """
    nonce = os.urandom(_NONCE_BYTES)
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
        if len(payload) < _NONCE_BYTES + _TAG_BYTES:
            raise TokenError(MALFORMED)
        return AESGCM(key.subkey(token.kind)).decrypt(payload[:12], payload[12:], bound)
    except (InvalidTag, ValueError):
        raise TokenError(_DOES_NOT_OPEN) from None
