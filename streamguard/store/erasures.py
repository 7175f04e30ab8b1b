"""Who asked to be forgotten, by reference: the list that is applied again after a backup was restored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime

from sqlalchemy import select, update

from streamguard.store.database import Database, in_parts
from streamguard.store.tables import erasures


@dataclass(frozen=True, slots=True)
class Erasure:
    """One person's request. `reference` is what the person's key was found by; `completed_at` when it was destroyed."""

    reference: bytes = field(repr=False)
    requested_at: datetime
    by_whom: str
    completed_at: datetime | None = None


class Erasures:
    """The queries. Each raises `KeysUnavailableError` when the database cannot answer now."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def request(self, requests: Iterable[Erasure]) -> None:
        """Put requests on the list, on disk before this returns. Of two for one person the later one stays."""
        ordered = sorted(requests, key=lambda one: (one.reference, one.requested_at))
        entry = erasures.c
        with self._database.writing() as connection:
            self._database.insert_new(
                connection, erasures, [asdict(one) for one in ordered], returning=entry.reference
            )
            for one in ordered:
                earlier = (entry.reference == one.reference) & (entry.requested_at < one.requested_at)
                connection.execute(update(erasures).where(earlier).values(**asdict(one)))

    def complete(self, references: Iterable[bytes], now: datetime) -> None:
        """Note that the keys of these persons are gone."""
        entry = erasures.c
        with self._database.writing() as connection:
            for some in in_parts(references):
                open_ones = entry.reference.in_(some) & entry.completed_at.is_(None)
                connection.execute(update(erasures).where(open_ones).values(completed_at=now))

    def all(self) -> list[Erasure]:
        """The list, oldest first."""
        query = select(erasures).order_by(erasures.c.requested_at, erasures.c.reference)
        with self._database.reading() as connection:
            return [Erasure(**row) for row in connection.execute(query).mappings()]

    def known(self, references: Iterable[bytes]) -> set[bytes]:
        """Those of these references that are on the list."""
        found: set[bytes] = set()
        with self._database.reading() as connection:
            for some in in_parts(references):
                query = select(erasures.c.reference).where(erasures.c.reference.in_(some))
                found.update(connection.execute(query).scalars())
        return found
