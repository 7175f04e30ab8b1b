"""``tokenize``: a value becomes a pseudonym that joins, and that nobody can turn back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import pydantic

from streamguard.crypto.keyring import Keyring
from streamguard.transforms.base import ANY, DOMAIN, Field, Options, Reject, Transform
from streamguard.transforms.encodable import NOT_ENCODABLE
from streamguard.transforms.keyed import DIGEST_BYTES, KeyedHash, refuse_booleans


class TokenizeOptions(Options):
    """`prefix`, then `length` hexadecimal digits of four bits each: 32 are 128 bits.

    A prefix has no dot, so a pseudonym is never mistaken for a token of the wire format.
    """

    prefix: Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9_:-]{0,32}$")] = "tok_"
    length: Annotated[int, pydantic.Field(ge=16, le=2 * DIGEST_BYTES)] = 32


class Tokenize(Transform[TokenizeOptions]):
    """The first digits of a keyed HMAC-SHA-256, in lower-case hexadecimal.

    Hexadecimal, because it survives systems that fold case, and is the fastest text to make.
    """

    verb: ClassVar[str] = "tokenize"
    Options = TokenizeOptions
    takes: ClassVar[frozenset[str]] = ANY
    messages: ClassVar[Mapping[str, str]] = {DOMAIN: NOT_ENCODABLE}

    def __init__(self, options: TokenizeOptions, field: Field, keyring: Keyring) -> None:
        super().__init__(options, field, keyring)
        self._hash = KeyedHash(keyring, field.element, self.verb, "hmac-sha256")

    def apply(self, values: list[Any], reject: Reject) -> list[Any]:
        """The pseudonyms."""
        prefix, length, stride = self.options.prefix, self.options.length, 2 * DIGEST_BYTES
        digits = b"".join(self._hash.digests(values, reject)).hex()
        return [prefix + digits[start : start + length] for start in range(0, len(digits), stride)]

    def check(self) -> str | None:
        """Booleans have too few values to be pseudonyms."""
        return refuse_booleans(self.field.types, self.verb)
