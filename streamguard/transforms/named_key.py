"""The key that a record's ``sg-keys`` header names for a field whose values do not name it themselves."""

from __future__ import annotations

from typing import Final

from streamguard.crypto.keyring import DataKey, Keyring
from streamguard.errors import KeyMissingError, TokenError

NO_KEY_ID: Final = (
    "The record does not say with which key this was protected: its header 'sg-keys' is needed."
)
_OTHER_ELEMENT: Final = "The key that the record names belongs to another element."


def named_key(keyring: Keyring, key_id: str | None, element: str) -> DataKey | TokenError | KeyMissingError:
    """The key, or why it cannot be had. Raises KeysUnavailableError when that cannot be found out now."""
    if key_id is None:
        return TokenError(NO_KEY_ID)
    try:
        key = keyring.find(key_id)
    except KeyMissingError as error:
        return error
    return key if key.element == element else TokenError(_OTHER_ELEMENT)
