"""Erasing persons: their keys are destroyed, and a list remembers that, by reference, for after a restore.

The list holds HMACs, no names. It lives in the store, so a restored backup of the store brings back an older list: a
copy that is kept elsewhere is merged in before it is applied again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from streamguard.crypto.keyring import Keyring
from streamguard.errors import ConfigError
from streamguard.store.erasures import Erasure
from streamguard.store.store import Store


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of each person asked for, by position: `destroyed` now, `earlier` before, `unknown` to the store."""

    destroyed: list[int]
    earlier: list[int]
    unknown: list[int]


def erase(keyring: Keyring, elements: Iterable[str], subjects: Sequence[str], by_whom: str) -> Outcome:
    """Destroy the keys that these persons have under these elements (those of the policies' subject fields).

    Each request is on the list before its key is touched, so that one that was cut short is finished by `reapply`.
    Raises `KeysUnavailableError`.
    """
    store, now = keyring.store, keyring.now
    names = list(elements)
    references = [
        {reference for element in names for reference in keyring.subjects.references(element, subject)}
        for subject in subjects
    ]
    asked = set[bytes]().union(*references)
    earlier = store.erasures.known(asked)
    living = set(store.subjects.by_reference(asked))
    store.erasures.request(Erasure(reference, now, by_whom) for reference in living)
    keyring.subjects.destroy_references(living)
    store.erasures.complete(living, now)
    outcome = Outcome([], [], [])
    for position, mine in enumerate(references):
        where = outcome.destroyed if mine & living else outcome.earlier if mine & earlier else outcome.unknown
        where.append(position)
    return outcome


def reapply(store: Store, now: datetime) -> int:
    """Destroy every key of the list that is there again, or still; returns how many.

    A key that was made after its person's request is left alone: that person has come back. Raises
    `KeysUnavailableError`.
    """
    listed = {one.reference: one.requested_at for one in store.erasures.all()}
    rows = store.subjects.by_reference(listed)
    again = [reference for reference, row in rows.items() if row.created_at <= listed[reference]]
    destroyed = store.subjects.destroy(again, now)
    store.erasures.complete(listed, now)
    return len(destroyed)


def written(listed: Iterable[Erasure]) -> bytes:
    """The list as NDJSON: reference (hexadecimal), requested_at, by_whom."""
    return b"".join(
        orjson.dumps(
            {
                "reference": one.reference.hex(),
                "requested_at": one.requested_at.astimezone(UTC).isoformat(),
                "by_whom": one.by_whom,
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )
        for one in listed
    )


def read(lines: Iterable[bytes]) -> list[Erasure]:
    """The list that `written` wrote. Raises ConfigError for a line that is none of its."""
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            entry = orjson.loads(line)
            requested_at = datetime.fromisoformat(entry["requested_at"])
            found.append(Erasure(bytes.fromhex(entry["reference"]), requested_at, str(entry["by_whom"])))
        except (ValueError, KeyError, TypeError):
            raise _not_of_a_list(number) from None
        if requested_at.tzinfo is None:
            raise _not_of_a_list(number)
    return found


def _not_of_a_list(number: int) -> ConfigError:
    return ConfigError(
        f"Line {number} is not one of a list of erasures.",
        "Give a file that 'streamguard erase --export' wrote.",
    )
