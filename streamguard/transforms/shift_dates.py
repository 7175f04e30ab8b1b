"""``shift_dates``: all dates of one person are moved by the same number of days, which differs from person to person.

What lies between two dates of a person stays as it was; when it was does not. The number of days is drawn from a keyed
hash of the person, so whoever has the key and knows the person can move the dates back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Annotated, Any, ClassVar, Final

import pydantic

from streamguard.crypto.keyring import DataKey, Keyring
from streamguard.crypto.wire import encode_value
from streamguard.errors import StreamGuardError, TokenError
from streamguard.transforms.base import (
    DOMAIN,
    KEY_PATH,
    SUBJECT,
    Field,
    Options,
    Origin,
    Reject,
    SubjectTransform,
)
from streamguard.transforms.keyed import Keyed, KeyedHash, keyed
from streamguard.transforms.named_key import named_key
from streamguard.transforms.subject_name import subject_name

# A date, or a date with anything that a time can be: what follows the date stays as it is written.
_DATE: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})((?:[Tt ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-6]\d(?:[.,]\d{1,9})?)?(?:[Zz]|[+-]\d{2}:?\d{2})?)?)",
    re.ASCII,
)

_NOT_A_DATE: Final = "This is no date that 'shift_dates' could have written."
_WHOSE: Final = "Dates are moved back for a person: it is not known whose this one is."


class ShiftDatesOptions(Options):
    """Up to `max_days` back or forth, never none. `by` is the field that says whose date it is.

    Its default is the policy's `subject`.
    """

    max_days: Annotated[int, pydantic.Field(ge=7, le=36_500)] = 365
    by: Annotated[str, pydantic.Field(min_length=1)] | None = None


class ShiftDates(SubjectTransform[ShiftDatesOptions]):
    """Moves ISO 8601 dates and date-times by whole days, in the zone in which they are written.

    The key is the subkey ``shift_dates`` of the pinned key of the *subject's* element, so that all dates of a person
    move together, in every field and topic that names the person by the same element.
    """

    verb: ClassVar[str] = "shift_dates"
    Options = ShiftDatesOptions
    takes: ClassVar[frozenset[str]] = frozenset({"string"})
    reversible: ClassVar[bool] = True
    keeps_form = True
    messages: ClassVar[Mapping[str, str]] = {
        DOMAIN: "the value is no ISO 8601 date, or would leave the years from 1 to 9999",
        SUBJECT: "the record does not say whose date this is",
    }

    def __init__(self, options: ShiftDatesOptions, field: Field, keyring: Keyring) -> None:
        super().__init__(options, field, keyring)
        self.subject_path = options.by or field.subject
        self._element = field.element_of(self.subject_path) if self.subject_path else field.element
        self._hash = KeyedHash(keyring, self._element, self.verb, "hmac-sha256")

    def apply(self, values: list[Any], reject: Reject) -> list[Any]:
        """Nothing: a date by itself is nobody's."""
        return self.apply_for(values, [None] * len(values), reject)

    def apply_for(self, values: list[Any], subjects: Sequence[Any], reject: Reject) -> list[Any]:
        """The moved dates; what is no date, or nobody's, is rejected."""
        names = list(map(subject_name, subjects))
        moved: list[Any] = []
        digests = self._hash.digests([name or "" for name in names], reject)
        self.key_id = self._hash.key.id
        for index, (value, name, digest) in enumerate(zip(values, names, digests, strict=True)):
            moved.append(_moved(value, self._days(digest)) if name is not None else None)
            if moved[-1] is None:
                reject(index, SUBJECT if name is None else DOMAIN)
        return moved

    def reverse(self, values: list[Any], origins: Sequence[Origin]) -> list[Any]:
        """The dates as they were, by the key and the subject that each record names."""
        hashes = {key_id: self._hash_under(key_id) for key_id in {origin.key_id for origin in origins}}
        return [
            self._back(value, hashes[origin.key_id], subject_name(origin.subject))
            for value, origin in zip(values, origins, strict=True)
        ]

    def check(self) -> str | None:
        """Fields of which nobody knows whose they are."""
        if self.field.path == KEY_PATH:
            return "A key is no date of a person."
        if self.subject_path is None:
            return (
                "It is not said whose dates these are: name the policy's 'subject', or the field with 'by'."
            )
        if self.subject_path == self.field.path:
            return "A date cannot be moved by itself: name in 'by' the field that says whose it is."
        if "[*]" in self.subject_path or "*" in self.subject_path.split("."):
            return "'by' names several values, and a record has one subject."
        return None

    def _days(self, digest: bytes) -> int:
        """Evenly from -max_days to max_days, without 0."""
        most = self.options.max_days
        drawn = int.from_bytes(digest) % (2 * most) - most
        return drawn if drawn < 0 else drawn + 1

    def _hash_under(self, key_id: str | None) -> Keyed | StreamGuardError:
        key = named_key(self.keyring, key_id, self._element)
        return keyed(key, self.verb, "hmac-sha256") if isinstance(key, DataKey) else key

    def _back(self, value: Any, under: Keyed | StreamGuardError, name: str | None) -> Any:
        if not isinstance(under, Keyed):
            return under
        if name is None:
            return TokenError(_WHOSE)
        (digest,) = under.digests([encode_value(name)])
        back = _moved(value, -self._days(digest))
        return TokenError(_NOT_A_DATE) if back is None else back


def _moved(value: Any, days: int) -> str | None:
    """A date or date-time so many days later; None when it is none, or leaves the calendar."""
    if type(value) is not str or (found := _DATE.fullmatch(value)) is None:
        return None
    try:
        return (date.fromisoformat(found[1]) + timedelta(days)).isoformat() + found[2]
    except (ValueError, OverflowError):
        return None
