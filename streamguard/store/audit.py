"""The audit trail: entries, each chained to the one before it, and the signed heads of the chain."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, RowMapping, Table, insert, select

from streamguard.store.database import Database
from streamguard.store.tables import audit_entries, audit_heads

_AT_ONCE: Final = 1_000
"""Rows that are read with one query."""

BEFORE_ALL: Final = -(2**63)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One entry. `seq` counts from 1 without gaps; `count` is in values; `hash` covers all the rest."""

    seq: int
    at: datetime
    who: str
    action: str
    element: str | None
    count: int
    purpose: str | None
    decision: str
    reason: str | None
    reference_hmac: bytes | None
    previous_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class HeadRow:
    """The chain as it was after entry `seq`, signed."""

    seq: int
    hash: bytes
    signature: bytes
    signed_at: datetime


class Appending:
    """The end of the trail, held by one process at a time: what it reads is what it writes after."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def last(self) -> AuditRow | None:
        """The newest entry."""
        query = select(audit_entries).order_by(audit_entries.c.seq.desc()).limit(1)
        found = self._connection.execute(query).mappings().first()
        return None if found is None else AuditRow(**found)

    def spent(self, who: str, decisions: tuple[str, ...], since: datetime) -> list[tuple[datetime, int]]:
        """Times and counts of what somebody was given after a moment, oldest first.

        Reads back from the end to the first older entry, so that a long trail costs no more than a short one.
        """
        entry = audit_entries.c
        older = select(entry.seq).where(entry.at <= since).order_by(entry.seq.desc()).limit(1)
        after = self._connection.execute(older).scalar() or 0
        query = select(entry.at, entry.count).where(
            entry.seq > after, entry.who == who, entry.decision.in_(decisions)
        )
        return [(at, count) for at, count in self._connection.execute(query.order_by(entry.seq))]

    def add(self, rows: list[AuditRow], head: HeadRow) -> None:
        """Write entries and the head that closes them; on disk when the appending has ended."""
        self._connection.execute(insert(audit_entries), [asdict(row) for row in rows])
        self._connection.execute(insert(audit_heads), [asdict(head)])


class Audit:
    """The queries. Each raises `KeysUnavailableError` when the database cannot answer now."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def appending(self) -> Iterator[Appending]:
        """Hold the end of the trail until this ends; other processes and hosts wait their turn."""
        with self._database.alone("audit") as connection:
            yield Appending(connection)

    def entries(self, *, after: int = BEFORE_ALL, to: int | None = None) -> Iterator[AuditRow]:
        """The entries behind `after`, up to and with `to`, in order.

        Read in pieces: the trail may be longer than memory.
        """
        return (AuditRow(**row) for row in self._in_pieces(audit_entries, after, to))

    def heads(self) -> Iterator[HeadRow]:
        """All heads, in order, read likewise."""
        return (HeadRow(**row) for row in self._in_pieces(audit_heads, BEFORE_ALL, None))

    def newest(self, count: int) -> list[AuditRow]:
        """The last `count` entries, oldest first."""
        query = select(audit_entries).order_by(audit_entries.c.seq.desc()).limit(count)
        with self._database.reading() as connection:
            rows = [AuditRow(**row) for row in connection.execute(query).mappings()]
        return rows[::-1]

    def _in_pieces(self, table: Table, after: int, to: int | None) -> Iterator[RowMapping]:
        while True:
            query = select(table).where(table.c.seq > after).order_by(table.c.seq).limit(_AT_ONCE)
            if to is not None:
                query = query.where(table.c.seq <= to)
            with self._database.reading() as connection:
                rows = connection.execute(query).mappings().all()
            if not rows:
                return
            yield from rows
            after = rows[-1]["seq"]
