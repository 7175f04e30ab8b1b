"""``hash``: a value becomes its keyed digest, in a standard algorithm that others can compute too."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Literal

from streamguard.crypto.keyring import Keyring
from streamguard.transforms.base import ANY, DOMAIN, Field, Options, Reject, Transform
from streamguard.transforms.encodable import NOT_ENCODABLE
from streamguard.transforms.keyed import Algorithm, KeyedHash, refuse_booleans

_WRITE: Final[Mapping[str, Callable[[bytes], str]]] = {
    "hex": bytes.hex,
    "base64": lambda digest: b2a_base64(digest, newline=False).decode("ascii"),
}


class HashOptions(Options):
    """`algorithm` gives 32 bytes, which `encoding` writes as 64 hexadecimal or 44 base64 characters (RFC 4648)."""

    algorithm: Algorithm = "blake2b"
    encoding: Literal["hex", "base64"] = "hex"


class Hash(Transform[HashOptions]):
    """The whole digest of the encoded value. Never without a key: a plain hash of a phone number is found by trying."""

    verb: ClassVar[str] = "hash"
    Options = HashOptions
    takes: ClassVar[frozenset[str]] = ANY
    messages: ClassVar[Mapping[str, str]] = {DOMAIN: NOT_ENCODABLE}

    def __init__(self, options: HashOptions, field: Field, keyring: Keyring) -> None:
        super().__init__(options, field, keyring)
        self._hash = KeyedHash(keyring, field.element, f"{self.verb}-{options.algorithm}", options.algorithm)
        self._write = _WRITE[options.encoding]

    def apply(self, values: list[Any], reject: Reject) -> list[Any]:
        """The digests as text."""
        return list(map(self._write, self._hash.digests(values, reject)))

    def check(self) -> str | None:
        """Booleans have too few values for a digest to hide them."""
        return refuse_booleans(self.field.types, self.verb)
