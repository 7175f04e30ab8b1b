"""``encrypt``: a value becomes a token that only the holder of its key can open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

import pydantic

from streamguard.crypto.aead import GcmSealer, SivSealer
from streamguard.crypto.keyring import Keyring
from streamguard.crypto.wire import encode_value
from streamguard.errors import TokenError
from streamguard.transforms.base import ANY, DOMAIN, Field, Options, Reject, Transform
from streamguard.transforms.encodable import NOT_ENCODABLE, encodable
from streamguard.transforms.keyed import refuse_booleans

_BLOCK: Final = 32
_PAD_OVERHEAD: Final = 2  # the type byte ``p`` and the mark 0x80


class EncryptOptions(Options):
    """`deterministic` gives equal tokens for equal values; `pad` hides lengths up to a multiple of so many bytes.

    Without `pad`, values whose length would tell them apart (booleans and enums, or whatever a policy without a schema
    may meet) are padded all the same, to one length; ``pad: 0`` turns that off.
    """

    deterministic: bool = False
    pad: Annotated[int, pydantic.Field(ge=0, le=65536)] | None = None


class Encrypt(Transform[EncryptOptions]):
    """AES-256-GCM under a fresh nonce each time, or AES-256-SIV when `deterministic`. Takes whole objects too."""

    verb: ClassVar[str] = "encrypt"
    Options = EncryptOptions
    takes: ClassVar[frozenset[str]] = ANY
    reversible: ClassVar[bool] = True
    deterministic = False
    messages: ClassVar[Mapping[str, str]] = {DOMAIN: NOT_ENCODABLE}

    def __init__(self, options: EncryptOptions, field: Field, keyring: Keyring) -> None:
        super().__init__(options, field, keyring)
        self.deterministic = options.deterministic
        self._pad_to = _default_pad(field) if options.pad is None else options.pad
        self._sealer: GcmSealer | SivSealer | None = None

    def apply(self, values: list[Any], reject: Reject) -> list[Any]:
        """The tokens."""
        sealer = self._current(len(values))
        try:
            return sealer.seal(values, self._pad_to)
        except TokenError:
            return sealer.seal(encodable(values, reject), self._pad_to)

    def check(self) -> str | None:
        """Booleans have too few values for equal tokens to hide them."""
        return (
            refuse_booleans(self.field.types, "encrypt: {deterministic: true}")
            if self.deterministic
            else None
        )

    def _current(self, uses: int) -> GcmSealer | SivSealer:
        """The sealer for the key that is current: of this process and policy, or pinned for the element."""
        make: type[GcmSealer | SivSealer]
        if self.deterministic:
            make, key = SivSealer, self.keyring.pinned(self.field.element)
        else:
            make, key = GcmSealer, self.keyring.fresh(self.field.policy, self.field.element, uses)
        sealer = self._sealer
        if sealer is None or sealer.key is not key:
            sealer = self._sealer = make(key)
        return sealer


def _default_pad(field: Field) -> int:
    """0 where lengths may show; otherwise the block that every value of the enum, or a boolean, fits."""
    if field.enum:
        longest = max(len(encode_value(value)) for value in field.enum)
        return -(-(longest + _PAD_OVERHEAD) // _BLOCK) * _BLOCK
    return _BLOCK if "boolean" in field.types or not field.types else 0
