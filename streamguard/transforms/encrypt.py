"""``encrypt``: a value becomes a token that only the holder of its key can open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Literal

import pydantic

from streamguard.crypto.aead import GcmSealer, SivSealer, SubjectSealer, open_token
from streamguard.crypto.keyring import Keyring
from streamguard.crypto.wire import MALFORMED, encode_value
from streamguard.errors import KeyMissingError, TokenError
from streamguard.transforms.base import (
    ANY,
    DOMAIN,
    KEY_PATH,
    SUBJECT,
    Field,
    Options,
    Origin,
    Reject,
    SubjectTransform,
)
from streamguard.transforms.encodable import NOT_ENCODABLE, encodable
from streamguard.transforms.keyed import refuse_booleans
from streamguard.transforms.subject_name import subject_name

_BLOCK: Final = 32
_PAD_OVERHEAD: Final = 2  # the type byte ``p`` and the mark 0x80


class EncryptOptions(Options):
    """`deterministic` gives equal tokens for equal values; `pad` hides lengths up to a multiple of so many bytes.

    ``per: subject`` takes a key of the person whose data the record is: when that is destroyed, so are its values.

    Without `pad`, values whose length would tell them apart (booleans and enums, or whatever a policy without a schema
    may meet) are padded all the same, to one length; ``pad: 0`` turns that off.
    """

    deterministic: bool = False
    pad: Annotated[int, pydantic.Field(ge=0, le=65536)] | None = None
    per: Literal["subject"] | None = None

    @pydantic.model_validator(mode="after")
    def _one_way(self) -> EncryptOptions:
        if self.deterministic and self.per:
            raise ValueError(
                "under a person's key equal values never give equal tokens: leave out 'deterministic'"
            )
        return self


class Encrypt(SubjectTransform[EncryptOptions]):
    """AES-256-GCM under a fresh nonce each time, or AES-256-SIV when `deterministic`. Takes whole objects too."""

    verb: ClassVar[str] = "encrypt"
    Options = EncryptOptions
    takes: ClassVar[frozenset[str]] = ANY
    reversible: ClassVar[bool] = True
    deterministic = False
    messages: ClassVar[Mapping[str, str]] = {
        DOMAIN: NOT_ENCODABLE,
        SUBJECT: "the record does not say whose data this is, so there is no key to encrypt it with",
    }

    def __init__(self, options: EncryptOptions, field: Field, keyring: Keyring) -> None:
        super().__init__(options, field, keyring)
        self.deterministic = options.deterministic
        self._pad_to = _default_pad(field) if options.pad is None else options.pad
        self.subject_path = field.subject if options.per else None
        self._sealer: GcmSealer | SivSealer | None = None
        self._subject_sealer: SubjectSealer | None = None

    def apply(self, values: list[Any], reject: Reject) -> list[Any]:
        """The tokens."""
        if self.options.per:
            return self.apply_for(values, [None] * len(values), reject)
        sealer = self._current(len(values))
        try:
            return sealer.seal(values, self._pad_to)
        except TokenError:
            return sealer.seal(encodable(values, reject), self._pad_to)

    def apply_for(self, values: list[Any], subjects: Sequence[Any], reject: Reject) -> list[Any]:
        """The tokens, each under its person's key; what belongs to nobody is rejected."""
        names = list(map(subject_name, subjects))
        for index in (index for index, name in enumerate(names) if name is None):
            reject(index, SUBJECT)
        rows = [index for index, name in enumerate(names) if name is not None]
        mine = encodable([values[row] for row in rows], lambda index, code: reject(rows[index], code))
        element = self.field.element_of(self.field.subject or "")
        keys = self.keyring.subjects.keys(element, [name for name in names if name is not None])
        tokens: list[Any] = [None] * len(values)
        for row, token in zip(rows, self._current_for(len(rows)).seal(mine, keys, self._pad_to), strict=True):
            tokens[row] = token
        return tokens

    def reverse(self, values: list[Any], origins: Sequence[Origin]) -> list[Any]:
        """The values; a token of another element is none of this field's."""
        return [self._opened(value) for value in values]

    def check(self) -> str | None:
        """Booleans have too few values for equal tokens to hide them, and a person's key needs a person."""
        if self.options.per and self.field.path == KEY_PATH:
            return "A key under a person's key would be another one each time. Use 'tokenize'."
        if self.options.per and self.subject_path is None:
            return "'per: subject' needs to know whose data a record is: name the policy's 'subject'."
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

    def _current_for(self, uses: int) -> SubjectSealer:
        """The same for tokens under persons' keys: the data key that hides whose they are."""
        key = self.keyring.fresh(self.field.policy, self.field.element, uses)
        if self._subject_sealer is None or self._subject_sealer.key is not key:
            self._subject_sealer = SubjectSealer(key)
        return self._subject_sealer

    def _opened(self, value: Any) -> Any:
        if type(value) is not str:
            return TokenError(MALFORMED)
        try:
            return open_token(value, self.keyring, self.field.element)
        except (TokenError, KeyMissingError) as error:
            return error


def _default_pad(field: Field) -> int:
    """0 where lengths may show; otherwise the block that every value of the enum, or a boolean, fits."""
    if field.enum:
        longest = max(len(encode_value(value)) for value in field.enum)
        return -(-(longest + _PAD_OVERHEAD) // _BLOCK) * _BLOCK
    return _BLOCK if "boolean" in field.types or not field.types else 0
