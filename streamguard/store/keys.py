"""The data keys, wrapped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select, update

from streamguard.store.database import Database, in_parts
from streamguard.store.tables import data_keys


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One data key as it is stored. `wrapped` is None once the key was destroyed; `version` is set for pinned keys."""

    id: str
    element: str
    purpose: str
    version: int | None
    wrapped: bytes | None = field(repr=False)
    master: str
    created_at: datetime
    destroy_after: datetime | None = None
    destroyed_at: datetime | None = None
    destruction_asked_by: str | None = None
    destruction_asked_at: datetime | None = None


class Keys:
    """The queries. Each raises `KeysUnavailableError` when the database cannot answer now."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: KeyRow) -> bool:
        """Keep a new key, on disk before this returns; False when its id, or its element and version, exist."""
        with self._database.writing() as connection:
            return bool(
                self._database.insert_new(connection, data_keys, [asdict(row)], returning=data_keys.c.id)
            )

    def get(self, key_id: str) -> KeyRow | None:
        """The key with this id, destroyed or not."""
        return next(iter(self._rows(data_keys.c.id == key_id)), None)

    def pinned(self, element: str, version: int | None = None) -> KeyRow | None:
        """A pinned version of an element, the highest if none is named; destroyed or not."""
        asked = data_keys.c.version.is_not(None) if version is None else data_keys.c.version == version
        query = select(data_keys).where(data_keys.c.element == element, asked)
        with self._database.reading() as connection:
            found = connection.execute(query.order_by(data_keys.c.version.desc()).limit(1)).mappings().first()
            return None if found is None else KeyRow(**found)

    def versions(self, element: str) -> list[KeyRow]:
        """Every pinned version of an element, the first one first; destroyed or not."""
        rows = self._rows(data_keys.c.element == element, data_keys.c.version.is_not(None))
        return sorted(rows, key=lambda row: row.version or 0)

    def of_element(self, element: str) -> list[KeyRow]:
        """Every key of an element, for whatever purpose, oldest first."""
        return self._rows(data_keys.c.element == element)

    def newest(self, elements: Iterable[str]) -> dict[str, str]:
        """The id of the highest pinned version of each element, destroyed or not."""
        key = data_keys.c
        query = select(key.element, key.id).where(key.version.is_not(None)).order_by(key.version)
        found: dict[str, str] = {}
        with self._database.reading() as connection:
            for some in in_parts(elements):
                found.update(
                    (element, key_id)
                    for element, key_id in connection.execute(query.where(key.element.in_(some)))
                )
        return found

    def living(self, key_ids: Iterable[str]) -> set[str]:
        """Those of these keys that are here and were not destroyed."""
        key = data_keys.c
        query = select(key.id).where(key.wrapped.is_not(None))
        found: set[str] = set()
        with self._database.reading() as connection:
            for some in in_parts(key_ids):
                found.update(connection.execute(query.where(key.id.in_(some))).scalars())
        return found

    def masters(self) -> dict[str, int]:
        """The master keys that wrap living keys, and how many each."""
        key = data_keys.c
        query = select(key.master, func.count()).where(key.wrapped.is_not(None)).group_by(key.master)
        with self._database.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def all(self) -> list[KeyRow]:
        """Every key, oldest first."""
        return list(self._rows())

    def rewrap(self, row: KeyRow, wrapped: bytes, master: str) -> bool:
        """Keep the same key under another master key; False when the row has changed since it was read."""
        key = data_keys.c
        same = (key.id == row.id) & (key.wrapped == row.wrapped) & key.wrapped.is_not(None)
        with self._database.writing() as connection:
            done = connection.execute(update(data_keys).where(same).values(wrapped=wrapped, master=master))
            return done.rowcount == 1

    def ask_destruction(self, key_ids: Iterable[str], who: str, now: datetime) -> None:
        """Note that somebody wants these keys destroyed, in place of whoever wanted it before."""
        key = data_keys.c
        with self._database.writing() as connection:
            for some in in_parts(key_ids):
                asked = update(data_keys).where(key.id.in_(some), key.destroyed_at.is_(None))
                connection.execute(asked.values(destruction_asked_by=who, destruction_asked_at=now))

    def destroy(self, key_ids: Sequence[str], now: datetime) -> list[str]:
        """Destroy keys: the wrapped form is overwritten, the row stays. Returns the ids of those that still lived."""
        return self._destroy(data_keys.c.id.in_(key_ids), now)

    def destroy_expired(self, now: datetime) -> list[str]:
        """Destroy every key whose time has come. Returns their ids."""
        return self._destroy(data_keys.c.destroy_after <= now, now)

    def _destroy(self, which: ColumnElement[bool], now: datetime) -> list[str]:
        destroy = (
            update(data_keys)
            .where(which, data_keys.c.destroyed_at.is_(None))
            .values(wrapped=None, destroyed_at=now)
            .returning(data_keys.c.id)
        )
        with self._database.writing() as connection:
            destroyed = list(connection.execute(destroy).scalars())
        if destroyed:
            self._database.forget()
        return destroyed

    def _rows(self, *which: Any) -> list[KeyRow]:
        query = select(data_keys).where(*which).order_by(data_keys.c.created_at, data_keys.c.id)
        with self._database.reading() as connection:
            return [KeyRow(**row) for row in connection.execute(query).mappings()]
