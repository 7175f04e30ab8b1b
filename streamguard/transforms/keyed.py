"""What `tokenize`, `hash` and `fake` share: a keyed hash of each value, under the pinned key of the field's element."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, Literal

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from streamguard.crypto.keyring import DataKey, Keyring
from streamguard.crypto.wire import encode_column
from streamguard.errors import TokenError
from streamguard.transforms.base import Reject
from streamguard.transforms.encodable import encodable

Algorithm = Literal["hmac-sha256", "blake2b"]

DIGEST_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Keyed:
    """A hash that has taken its key in: copied for each value, which is twice as fast as starting anew."""

    key: DataKey
    copy: Callable[[], Any]
    finish: Callable[[Any], bytes]

    def digests(self, encoded: list[bytes]) -> list[bytes]:
        """The digest of each encoded value."""
        copy, finish = self.copy, self.finish
        digests = []
        for data in encoded:
            state_of_one = copy()
            state_of_one.update(data)
            digests.append(finish(state_of_one))
        return digests


def keyed(key: DataKey, use: str, algorithm: Algorithm) -> Keyed:
    """The hash under the subkey named `use` of a data key."""
    secret = key.subkey(use)
    if algorithm == "hmac-sha256":
        return Keyed(key, HMAC(secret, SHA256()).copy, HMAC.finalize)
    return Keyed(key, blake2b(key=secret, digest_size=DIGEST_BYTES).copy, blake2b.digest)


class KeyedHash:
    """HMAC-SHA-256 (RFC 2104) or keyed BLAKE2b (RFC 7693) of encoded values; 32-byte digests.

    The key is the subkey named `use` of the element's pinned data key, so equal values of one element have equal
    digests in every process that shares the store, and nothing links the digests of two uses or two elements.
    """

    def __init__(self, keyring: Keyring, element: str, use: str, algorithm: Algorithm) -> None:
        self._keyring = keyring
        self._element = element
        self._use = use
        self._algorithm = algorithm
        self._state: Keyed | None = None

    @property
    def key(self) -> DataKey:
        """The key of the latest digests; the current one before any."""
        return (self._state or self._current()).key

    def digests(self, values: list[Any], reject: Reject) -> list[bytes]:
        """The digest of each value; one that has no encoding is rejected and gets the digest of an empty text.

        Raises KeysUnavailableError when the pinned key cannot be had now.
        """
        state = self._current()
        try:
            encoded = encode_column(values)
        except TokenError:
            encoded = encode_column(encodable(values, reject))
        return state.digests(encoded)

    def _current(self) -> Keyed:
        key = self._keyring.pinned(self._element)
        state = self._state
        if state is None or state.key is not key:
            state = self._state = keyed(key, self._use, self._algorithm)
        return state


def refuse_booleans(types: frozenset[str], verb: str) -> str | None:
    """Why a deterministic verb cannot take a field whose type is boolean, as one sentence; None for any other."""
    if types != {"boolean"}:
        return None
    return (
        f"Under '{verb}' a boolean has two outputs, which are told apart by how often they occur. "
        "Use 'encrypt', 'nullify' or 'drop'."
    )
