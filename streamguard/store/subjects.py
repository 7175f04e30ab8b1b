"""The keys of data subjects, wrapped. A slice's subjects are looked up, and kept, with one statement each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select, update

from streamguard.store.database import Database, in_parts
from streamguard.store.tables import subject_keys


@dataclass(frozen=True, slots=True)
class SubjectRow:
    """One subject's key. `reference` finds it by the subject; both it and `wrapped` are None once it was destroyed."""

    id: str
    reference: bytes | None = field(repr=False)
    element: str
    wrapped: bytes | None = field(repr=False)
    master: str
    created_at: datetime
    destroyed_at: datetime | None = None


class SubjectKeys:
    """The queries. Each raises `KeysUnavailableError` when the database cannot answer now."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def by_reference(self, references: Iterable[bytes]) -> dict[bytes, SubjectRow]:
        """The keys of these subjects; a subject without one is left out."""
        rows = self._rows(subject_keys.c.reference, references)
        return {row.reference: row for row in rows if row.reference is not None}

    def by_id(self, key_ids: Iterable[str]) -> dict[str, SubjectRow]:
        """The keys with these ids, destroyed or not."""
        return {row.id: row for row in self._rows(subject_keys.c.id, key_ids)}

    def add(self, rows: Iterable[SubjectRow]) -> set[str]:
        """Keep new keys, on disk before this returns. Returns the ids of those that were kept.

        A row is left out when its subject has a key already (`by_reference` has it now) or when its id is taken.
        """
        # All writers go the same way through the index, so that none waits for one that waits for it.
        ordered = sorted(rows, key=lambda row: row.reference or b"")
        with self._database.writing() as connection:
            return self._database.insert_new(
                connection, subject_keys, [asdict(row) for row in ordered], returning=subject_keys.c.id
            )

    def destroy(self, references: Iterable[bytes], now: datetime) -> list[str]:
        """Destroy the keys of these subjects: what was wrapped and what it was found by are overwritten.

        Returns the ids of those that lived.
        """
        destroyed: list[str] = []
        with self._database.writing() as connection:
            for some in in_parts(references):
                destroy = update(subject_keys).where(subject_keys.c.reference.in_(some))
                gone = destroy.values(reference=None, wrapped=None, destroyed_at=now)
                destroyed += connection.execute(gone.returning(subject_keys.c.id)).scalars()
        if destroyed:
            self._database.forget()
        return destroyed

    def _rows(self, column: ColumnElement[Any], wanted: Iterable[Any]) -> list[SubjectRow]:
        rows: list[SubjectRow] = []
        with self._database.reading() as connection:
            for some in in_parts(wanted):
                found = connection.execute(select(subject_keys).where(column.in_(some))).mappings()
                rows += [SubjectRow(**row) for row in found]
        return rows
