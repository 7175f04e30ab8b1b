"""From protected values back to values, without a question asked: `reveal` is who may call this.

Tokens say themselves what they are. What other transforms wrote is turned back by the transform that the policy names
for the field, with what the record tells of it. Nothing that comes out is looked at again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from streamguard.crypto.aead import open_token
from streamguard.crypto.keyring import Keyring
from streamguard.crypto.wire import MALFORMED, parse_token
from streamguard.errors import KeyMissingError, KeysUnavailableError, StreamGuardError, TokenError
from streamguard.transforms.base import Origin, Transform
from streamguard.transforms.encrypt import Encrypt

FAULTS: Final = (TokenError, KeyMissingError, KeysUnavailableError)
"""What may be wrong with one value while others are well."""

_ELSEWHERE: Final = "The token is not one of this field: it was moved here."
_UNKNOWN: Final = "The key of a token is not in this store."
_UNTOLD: Final = Origin()


@dataclass(frozen=True, slots=True)
class Ask:
    """One protected value: a token on its own, or, with a `transform`, the value of a policy's field."""

    value: Any = field(repr=False)
    transform: Transform[Any] | None = None
    origin: Origin = _UNTOLD

    @property
    def is_token(self) -> bool:
        """Whether the value says itself what it is."""
        return self.transform is None or isinstance(self.transform, Encrypt)

    @property
    def text(self) -> str:
        """What the trail's reference is made from."""
        return self.value if isinstance(self.value, str) else orjson.dumps(self.value).decode()


def elements(asks: Sequence[Ask], keyring: Keyring) -> list[str | StreamGuardError]:
    """What each value is, from its key or from its field; nothing is opened, and no key is unwrapped.

    In place of an element stands what is wrong with the value. Raises KeysUnavailableError.
    """
    by_key: dict[str, str | None] = {}
    return [_element(ask, keyring, by_key) for ask in asks]


def open_all(asks: Sequence[Ask], keyring: Keyring) -> list[Any]:
    """The values, with their types; in place of one that cannot be opened, the error (of `FAULTS`) that says why."""
    opened: list[Any] = [None] * len(asks)
    of_fields: dict[int, list[int]] = {}
    for index, ask in enumerate(asks):
        if ask.is_token:
            opened[index] = _open_token(ask.value, keyring)
        else:
            of_fields.setdefault(id(ask.transform), []).append(index)
    for indexes in of_fields.values():
        for index, value in zip(indexes, _reverse([asks[index] for index in indexes]), strict=True):
            opened[index] = value
    return opened


def _element(ask: Ask, keyring: Keyring, by_key: dict[str, str | None]) -> str | StreamGuardError:
    if not ask.is_token:
        return ask.transform.field.element if ask.transform else TokenError(MALFORMED)
    try:
        key_id = parse_token(ask.value).key_id if isinstance(ask.value, str) else None
    except TokenError as error:
        return error
    if key_id is None:
        return TokenError(MALFORMED)
    if key_id not in by_key:
        row = keyring.store.keys.get(key_id)
        by_key[key_id] = None if row is None else row.element
    element = by_key[key_id]
    if element is None:
        return KeyMissingError(_UNKNOWN, "Name the store of the service that made the token.")
    if ask.transform is not None and element != ask.transform.field.element:
        return TokenError(_ELSEWHERE)
    return element


def _open_token(text: str, keyring: Keyring) -> Any:
    try:
        return open_token(text, keyring)
    except FAULTS as error:
        return error


def _reverse(asks: Sequence[Ask]) -> list[Any]:
    """A column of one field."""
    transform = asks[0].transform
    assert transform is not None  # noqa: S101 - for the type checker: tokens went another way
    try:
        return transform.reverse([ask.value for ask in asks], [ask.origin for ask in asks])
    except KeysUnavailableError as error:
        return [error] * len(asks)
