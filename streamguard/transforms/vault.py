"""``vault``: a value becomes a random token, and the store keeps which value it stands for, sealed.

The token tells nothing of the value, not even to whoever has the key: without the store nobody turns it back. A value
is found again by its blind index, an HMAC; one token per value, element and key version, whoever asks at the same time.
"""

from __future__ import annotations

import os
import secrets
import string
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Literal

import pydantic
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from streamguard.crypto.keyring import DataKey, Keyring
from streamguard.crypto.wire import aad, decode_value, encode_value
from streamguard.errors import KeyMissingError, TokenError
from streamguard.policy.models import Duration
from streamguard.store.vault import VaultRow
from streamguard.transforms.base import ANY, DOMAIN, Field, Options, Origin, Reject, Transform
from streamguard.transforms.encodable import NOT_ENCODABLE
from streamguard.transforms.keyed import KeyedHash, refuse_booleans
from streamguard.transforms.luhn import is_valid

FULL: Final = "full"

FEWEST: Final = 1_000_000
"""Tokens of one shape that must exist: of fewer, one would soon be met that another value already has."""

_ATTEMPTS: Final = 16
_TOKEN_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_CARD_DIGITS: Final = range(12, 20)
_KEPT: Final = frozenset(string.punctuation + " ")

_UNKNOWN: Final = "The vault has no such token of this element."
_EXPIRED: Final = "The token has expired: its value cannot be revealed any more."
_EDITED: Final = "The vault's entry does not open: it was edited, or moved from another token."

Shape = Literal["random", "same", "uuid"]


class VaultOptions(Options):
    """The `shape` of the tokens, the `prefix` of random ones, and their time to live (`ttl`; for ever without one)."""

    shape: Shape = "random"
    prefix: Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9_:-]{0,32}$")] = "vt_"
    ttl: Duration | None = None


class Vault(Transform[VaultOptions]):
    """Random tokens, kept with their sealed values in the store. One query per column, and one more for new values."""

    verb: ClassVar[str] = "vault"
    Options = VaultOptions
    takes: ClassVar[frozenset[str]] = ANY
    reversible: ClassVar[bool] = True
    messages: ClassVar[Mapping[str, str]] = {
        DOMAIN: f"{NOT_ENCODABLE}, or too short for a token of the same shape",
        FULL: "no token of this value's shape could be found that is not given out yet",
    }

    def __init__(self, options: VaultOptions, field: Field, keyring: Keyring) -> None:
        super().__init__(options, field, keyring)
        self._index = KeyedHash(keyring, field.element, "vault-index", "hmac-sha256")
        self.keeps_form = options.shape == "same"
        self._make = _MAKERS[options.shape](options)
        self._sealer: _Sealer | None = None

    def apply(self, values: list[Any], reject: Reject) -> list[Any]:
        """The tokens: those that the values have, and new ones, stored before this returns."""
        refused: set[int] = set()

        def refuse(index: int, code: str) -> None:
            if index not in refused:
                refused.add(index)
                reject(index, code)

        if self.options.shape == "same":
            for index, value in enumerate(values):
                if type(value) is not str or _tokens_like(value) < FEWEST:
                    refuse(index, DOMAIN)
        indexes = self._index.digests(values, refuse)
        wanted = {digest: values[row] for row, digest in enumerate(indexes) if row not in refused}
        tokens = self._tokens(wanted) if wanted else {}
        for row, digest in enumerate(indexes):
            if digest not in tokens:
                refuse(row, FULL)
        return [None if row in refused else tokens[digest] for row, digest in enumerate(indexes)]

    def reverse(self, values: list[Any], origins: Sequence[Origin]) -> list[Any]:
        """The values behind the tokens. An expired token has none any more."""
        # No token has a NUL, and PostgreSQL would refuse the question, for the values beside it too.
        texts = {value for value in values if type(value) is str and "\0" not in value}
        rows = self.keyring.store.vault.find(self.field.element, texts) if texts else {}
        sealers: dict[int, _Sealer | KeyMissingError] = {}
        return [self._opened(rows.get(value) if type(value) is str else None, sealers) for value in values]

    def check(self) -> str | None:
        """Booleans have too few values for tokens to hide them, and only texts have a shape."""
        if self.options.shape == "same" and (wrong := self.field.types - {"string"}):
            return f"Tokens of the same shape stand for texts, not for values of type {' or '.join(sorted(wrong))}."
        return refuse_booleans(self.field.types, self.verb)

    def _tokens(self, wanted: Mapping[bytes, Any]) -> dict[bytes, str]:
        """The token of each value, by index; those for which there is none left are left out."""
        vault, element, sealer, now = (
            self.keyring.store.vault,
            self.field.element,
            self._current(),
            self.keyring.now,
        )
        found = vault.tokens(element, sealer.version, wanted, now)
        for attempt in range(_ATTEMPTS):
            missing = {index: value for index, value in wanted.items() if index not in found}
            if not missing:
                break
            if attempt == 1:
                vault.expire(
                    now
                )  # an entry whose time is over, and which nobody has found yet, is in the way
            rows = self._new(missing, sealer)
            kept = vault.add(rows)
            found |= {row.index_hmac: row.token for row in rows if row.index_hmac and row.token in kept}
            if others := [index for index in missing if index not in found]:
                found |= vault.tokens(element, sealer.version, others, now)
        return found

    def _new(self, values: Mapping[bytes, Any], sealer: _Sealer) -> list[VaultRow]:
        """An entry for each value, with a token of its own."""
        now, ttl = self.keyring.now, self.options.ttl
        rows: dict[str, VaultRow] = {}
        for (index, value), token in zip(values.items(), self._make(list(values.values())), strict=True):
            if token not in rows:
                rows[token] = VaultRow(
                    element=self.field.element,
                    version=sealer.version,
                    index_hmac=index,
                    token=token,
                    sealed=sealer.seal(value, token),
                    created_at=now,
                    expires_at=None if ttl is None else now + ttl,
                )
        return list(rows.values())

    def _current(self) -> _Sealer:
        """The sealer for the key under which the indexes were made."""
        key = self._index.key
        if self._sealer is None or self._sealer.key is not key:
            row = self.keyring.store.keys.get(key.id)
            self._sealer = _Sealer(key, (row and row.version) or 1)
        return self._sealer

    def _opened(self, row: VaultRow | None, sealers: dict[int, _Sealer | KeyMissingError]) -> Any:
        if row is None:
            return TokenError(_UNKNOWN)
        if row.sealed is None or (row.expires_at is not None and row.expires_at <= self.keyring.now):
            return KeyMissingError(_EXPIRED)
        if row.version not in sealers:
            sealers[row.version] = self._sealer_of(row.version)
        sealer = sealers[row.version]
        return sealer if isinstance(sealer, KeyMissingError) else sealer.opened(row.sealed, row.token)

    def _sealer_of(self, version: int) -> _Sealer | KeyMissingError:
        row = self.keyring.store.keys.pinned(self.field.element, version)
        try:
            return _Sealer(self.keyring.find("" if row is None else row.id), version)
        except KeyMissingError as error:
            return error


class _Sealer:
    """Values of one element's pinned key, each bound to its token: AES-256-GCM under the subkey ``vault``."""

    def __init__(self, key: DataKey, version: int) -> None:
        self.key = key
        self.version = version
        self._cipher = AESGCM(key.subkey("vault"))

    def seal(self, value: Any, token: str) -> bytes:
        """Nonce, ciphertext, tag."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, encode_value(value), self._bound(token))

    def opened(self, sealed: bytes, token: str) -> Any:
        """The value, or the error that stands for it."""
        try:
            plain = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self._bound(token))
            return decode_value(plain)
        except (InvalidTag, ValueError, TokenError):
            return TokenError(_EDITED)

    def _bound(self, token: str) -> bytes:
        return aad("vault", self.key.id, f"{self.key.element}|{token}")


# --- tokens -------------------------------------------------------------------------------------------------

Maker = Callable[[list[Any]], Iterable[str]]
"""New tokens for a column of values."""


def _random(options: VaultOptions) -> Maker:
    """The prefix and 128 random bits, in hexadecimal."""

    def make(values: list[Any]) -> Iterable[str]:
        digits, width = secrets.token_hex(_TOKEN_BYTES * len(values)), 2 * _TOKEN_BYTES
        return [options.prefix + digits[start : start + width] for start in range(0, len(digits), width)]

    return make


def _same(_options: VaultOptions) -> Maker:
    """Texts of the same shape."""
    return lambda values: map(_like, values)


def _uuid(_options: VaultOptions) -> Maker:
    """Random UUIDs (RFC 9562, version 4)."""
    return lambda values: [str(uuid.uuid4()) for _ in values]


_MAKERS: Final[Mapping[Shape, Callable[[VaultOptions], Maker]]] = {
    "random": _random,
    "same": _same,
    "uuid": _uuid,
}


def _letters_for(character: str) -> str:
    """What may stand for a character: spaces and ASCII punctuation stay, everything else is replaced by its like."""
    if character in _KEPT:
        return character
    if "0" <= character <= "9":
        return string.digits
    return string.ascii_uppercase if character.isupper() else string.ascii_lowercase


def _tokens_like(text: str) -> int:
    """How many tokens have the shape of a text, up to a bound that is more than enough."""
    count = 1
    for character in text:
        count *= len(_letters_for(character))
        if count >= FEWEST:
            break
    return count


def _like(text: str) -> str:
    """A random text of the same shape; never the text itself, and never a number that could be a card's."""
    while True:
        token = "".join([secrets.choice(_letters_for(character)) for character in text])
        if token != text and not _could_be_a_card(token):
            return token


def _could_be_a_card(token: str) -> bool:
    """Twelve to nineteen digits with a valid check digit, and nothing beside them but punctuation."""
    digits = "".join(character for character in token if character not in _KEPT)
    return len(digits) in _CARD_DIGITS and is_valid(digits)
