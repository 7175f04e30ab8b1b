"""From protected values back to values, without a question asked: `reveal` is who may call this.

A token on its own says what it is. What stands in a policy's field is turned back by the transform of that field, with
what the record tells of it; a token of another element is none of the field's. What comes out is not looked at again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from streamguard.crypto.aead import VALUE_KINDS, open_token
from streamguard.crypto.keyring import Keyring
from streamguard.crypto.wire import MALFORMED, parse_token
from streamguard.errors import KeyMissingError, KeysUnavailableError, StreamGuardError, TokenError
from streamguard.transforms.base import Origin, Transform

_FAULTS: Final = (TokenError, KeyMissingError, KeysUnavailableError)
"""What may be wrong with one value while others are well."""

_UNTOLD: Final = Origin()


@dataclass(frozen=True, slots=True)
class Ask:
    """One protected value: a token on its own, or, with a `transform`, the value of a policy's field."""

    value: Any = field(repr=False)
    transform: Transform[Any] | None = None
    origin: Origin = _UNTOLD

    @property
    def text(self) -> str:
        """What the trail's reference is made from."""
        return self.value if isinstance(self.value, str) else orjson.dumps(self.value).decode()


def elements(asks: Sequence[Ask], keyring: Keyring) -> list[str | StreamGuardError]:
    """What each value is, from its field or its key; nothing is opened, and no key is unwrapped.

    In place of an element stands what is wrong with the value. Raises KeysUnavailableError.
    """
    by_key: dict[str, str | None] = {}
    return [
        ask.transform.field.element if ask.transform else _element_of(ask.value, keyring, by_key)
        for ask in asks
    ]


def open_all(asks: Sequence[Ask], keyring: Keyring) -> list[Any]:
    """The values, with their types; in place of one that cannot be opened, the error that says why."""
    opened: list[Any] = [None] * len(asks)
    of_fields: dict[Transform[Any], list[int]] = {}
    for index, ask in enumerate(asks):
        if ask.transform is None:
            opened[index] = _open(ask.value, keyring)
        else:
            of_fields.setdefault(ask.transform, []).append(index)
    for transform, indexes in of_fields.items():
        for index, value in zip(indexes, _reverse(transform, [asks[i] for i in indexes]), strict=True):
            opened[index] = value
    return opened


def _element_of(text: Any, keyring: Keyring, by_key: dict[str, str | None]) -> str | StreamGuardError:
    try:
        token = parse_token(text) if isinstance(text, str) else None
    except TokenError as error:
        return error
    if token is None:
        return TokenError(MALFORMED)
    if token.kind not in VALUE_KINDS:
        return TokenError("This token is of a kind that holds no value of a field.")
    if token.key_id not in by_key:
        row = keyring.store.keys.get(token.key_id)
        by_key[token.key_id] = None if row is None else row.element
    return by_key[token.key_id] or KeyMissingError(
        "The key of a token is not in this store.", "Name the store of the service that made the token."
    )


def _open(text: str, keyring: Keyring) -> Any:
    try:
        return open_token(text, keyring)
    except _FAULTS as error:
        return error


def _reverse(transform: Transform[Any], asks: Sequence[Ask]) -> list[Any]:
    """A column of one field."""
    try:
        return transform.reverse([ask.value for ask in asks], [ask.origin for ask in asks])
    except KeysUnavailableError as error:
        return [error] * len(asks)
