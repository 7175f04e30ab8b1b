"""Destroying keys, which may take two people: one asks, another one agrees.

It guards against haste and against one person alone. It does not guard against whoever administers the machine or the
store: a name is what the operating system or the caller says, and a row can be written by whoever may write rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from streamguard.crypto.datakey import TRAIL
from streamguard.crypto.subjects import PREFIX
from streamguard.errors import ConfigError
from streamguard.store.keys import KeyRow
from streamguard.store.store import Store


@dataclass(frozen=True, slots=True)
class Outcome:
    """Ids of keys: those that are `destroyed` now, and those that are `waiting` for another person to agree."""

    destroyed: list[str]
    waiting: list[str]


def to_destroy(store: Store, *, key_id: str | None = None, element: str | None = None) -> list[KeyRow]:
    """The living keys that are meant: one, or all of an element. Raises `ConfigError` when there is none."""
    found = store.keys.of_element(element) if element is not None else [store.keys.get(key_id or "")]
    rows = [row for row in found if row is not None]
    if not rows:
        raise ConfigError("There is no such key in the store.", "See: streamguard keys list")
    if any(row.element.startswith(PREFIX) for row in rows):
        raise ConfigError(
            "This key finds the keys of people: without it nobody's erasure could be carried out any more.",
            "Destroy the people's own keys with: streamguard erase",
        )
    if any(row.element == TRAIL for row in rows):
        raise ConfigError(
            "This key signs the audit trail: without it nobody could prove any more what is on it.",
            "Another one takes its place, and what it has signed stays valid, with: streamguard keys rotate",
        )
    return [row for row in rows if row.wrapped is not None]


def destroy(
    store: Store,
    rows: Sequence[KeyRow],
    who: str,
    *,
    persons: int = 1,
    within: timedelta = timedelta(hours=24),
    now: datetime | None = None,
) -> Outcome:
    """Destroy keys in the store, or ask for it.

    With two `persons`, a key is destroyed when another person than `who` asked for it, and not longer ago than
    `within`; for the others the request is noted. Running processes let go of destroyed keys within a minute.
    """
    now = now or datetime.now(UTC)
    agreed = [row for row in rows if persons == 1 or _asked_by_another(row, who, now - within)]
    destroyed = store.keys.destroy([row.id for row in agreed], now)
    waiting = [row for row in rows if row not in agreed]
    fresh = [row.id for row in waiting if not _is_asked(row, now - within)]
    store.keys.ask_destruction(fresh, who, now)
    return Outcome(destroyed, [row.id for row in waiting])


def _asked_by_another(row: KeyRow, who: str, since: datetime) -> bool:
    return _is_asked(row, since) and row.destruction_asked_by != who


def _is_asked(row: KeyRow, since: datetime) -> bool:
    return row.destruction_asked_at is not None and row.destruction_asked_at > since
