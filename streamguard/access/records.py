"""Whole records: their protected fields revealed in place, and nothing else in them.

Only what the policy protects is opened. A token that stands in a kept field was put there by somebody, and one of
another element than its field was moved there: both stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from streamguard.access.opening import Ask
from streamguard.access.principal import Principal
from streamguard.access.reveal import Answer, Desk, Request
from streamguard.crypto.keyring import Keyring
from streamguard.crypto.wire import parse_key_ids
from streamguard.errors import TokenError
from streamguard.formats.base import Form
from streamguard.formats.open import declared_form
from streamguard.guard.batch import Batch, Headers
from streamguard.guard.columns import Column, Columns
from streamguard.guard.corridor import transforms_of
from streamguard.policy.loader import LoadedPolicy
from streamguard.policy.paths import parse_path
from streamguard.transforms.base import Origin, Transform

OTHER: Final = (
    "The record was written by another version of the policy: what this field was is not known for certain."
)
_VERSIONED: Final = ("fpe", "shift_dates")
"""Verbs whose options have to be those that wrote the record: with others they give another value, and no error."""


@dataclass(frozen=True, slots=True)
class Record:
    """A protected record: its document, which is changed in place, and what its headers tell.

    `key_ids` names keys by path where there is no ``sg-keys`` header.
    """

    document: Any = field(repr=False)
    headers: Headers | None = None
    key_ids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """A field of a record that was not revealed; `row` is the record's position among those given."""

    row: int
    path: str
    answer: Answer


def reversible_fields(
    loaded: LoadedPolicy, keyring: Keyring, form: Form | None = None
) -> dict[str, Transform[Any]]:
    """The fields of a policy whose values can be had back, by path. `form` is the source's, if not as in its file."""
    transforms = transforms_of(loaded.policy, form or declared_form(loaded), keyring)
    return {str(path): transform for path, transform in transforms.items() if transform.reversible}


class Records:
    """The records of one policy. `any_version` takes records that another version of the policy has written.

    `form` is the source's, if not as in its schema's file: its tags say which fields are protected, too.
    """

    def __init__(
        self, loaded: LoadedPolicy, desk: Desk, *, any_version: bool = False, form: Form | None = None
    ) -> None:
        self._desk = desk
        policy = self._policy = loaded.policy
        self._version = None if any_version else f"{policy.name}@{policy.version}".encode()
        self._fields = [
            (path, Columns(parse_path(path), "reveal"), transform)
            for path, transform in reversible_fields(loaded, desk.keyring, form).items()
        ]

    def reveal(
        self,
        principal: Principal,
        records: Sequence[Record],
        *,
        purpose: str = "",
        topic: str | None = None,
        masked: bool = False,
    ) -> list[Fault]:
        """Put values where their protected forms stand; returns what could not be, and stays as it is.

        `topic` is for whoever has read the records there himself. Raises as `Desk.reveal` does: then nothing more was
        revealed.
        """
        batch = Batch(self._policy.topic, [None] * len(records))
        batch.documents = [record.document for record in records]
        told = [self._key_ids(record) for record in records]
        known: dict[tuple[str, int], Any] = {}
        faults: list[Fault] = []
        # Whose a date is stands in another field, which therefore goes first.
        for needs_subject in (False, True):
            asks: list[Ask] = []
            places: list[_Place] = []
            for path, columns, transform in self._fields:
                if (transform.verb in _VERSIONED and transform.subject_path is not None) != needs_subject:
                    continue
                subjects = self._subjects(transform.subject_path, batch, known) if needs_subject else {}
                for row, holder, key, value in _each(columns.gather(batch)):
                    key_ids = told[row]
                    if key_ids is None and transform.verb in _VERSIONED:
                        faults.append(
                            Fault(row, path, Answer(transform.field.element, error="token", message=OTHER))
                        )
                        continue
                    origin = Origin((key_ids or {}).get(path), subjects.get(row))
                    asks.append(Ask(value, transform, origin))
                    places.append(_Place(path, row, holder, key))
            answers = self._desk.reveal(principal, Request(asks, purpose, topic, masked)) if asks else []
            for place, answer in zip(places, answers, strict=True):
                if answer.error is not None:
                    faults.append(Fault(place.row, place.path, answer))
                    continue
                place.holder[place.key] = answer.value
                if not answer.masked:
                    known[place.path, place.row] = answer.value
        return faults

    def _subjects(
        self, path: str | None, batch: Batch, known: Mapping[tuple[str, int], Any]
    ) -> Mapping[int, Any]:
        """Whose each record is, as far as that is in the clear: a pseudonym is nobody."""
        if path is None:
            return {}
        if path in self._policy.fields:
            return {row: value for (of, row), value in known.items() if of == path}
        column = Columns(parse_path(path), "reveal").gather(batch)
        return dict(zip(column.rows, column.values, strict=True))

    def _key_ids(self, record: Record) -> Mapping[str, str] | None:
        """What the record says of its keys; None when another version of the policy has written it."""
        headers = {name: value or b"" for name, value in record.headers or ()}
        if self._version is not None and headers.get("sg-policy", self._version) != self._version:
            return None
        try:
            return parse_key_ids(headers["sg-keys"]) if "sg-keys" in headers else record.key_ids
        except TokenError:
            return {}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a value stands."""

    path: str
    row: int
    holder: Any
    key: Any


def _each(column: Column) -> Iterable[tuple[int, Any, Any, Any]]:
    """Row, container, key and value of each; of the keys there may be more."""
    return zip(column.rows, column.holders, column.keys, column.values, strict=False)
