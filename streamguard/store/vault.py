"""Vault tokens and the sealed values behind them.

Columns are looked up and kept whole: one statement each, however many values a slice has.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Final

from sqlalchemy import select, true, update

from streamguard.store.database import Database, in_parts
from streamguard.store.tables import vault_entries


@dataclass(frozen=True, slots=True)
class VaultRow:
    """One token. An expired one has neither its index nor its value any more, and is not given out again."""

    element: str
    version: int
    index_hmac: bytes | None = field(repr=False)
    token: str = field(repr=False)
    sealed: bytes | None = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None


_COLUMNS: Final = [column.name for column in fields(VaultRow)]
_ENTRY: Final = select(*(vault_entries.c[name] for name in _COLUMNS))


class Vault:
    """The queries. Each raises `KeysUnavailableError` when the database cannot answer now."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def tokens(
        self, element: str, version: int, indexes: Iterable[bytes], now: datetime | None = None
    ) -> dict[bytes, str]:
        """The tokens of these values, by index; values without one are left out. One statement.

        With `now`, so are values whose token's time is over, whether or not `expire` has found it yet.
        """
        entry = vault_entries.c
        valid = entry.expires_at.is_(None) | (entry.expires_at > now) if now is not None else true()
        found: dict[bytes, str] = {}
        with self._database.reading() as connection:
            for some in in_parts(indexes):
                query = select(entry.index_hmac, entry.token).where(
                    entry.element == element, entry.version == version, entry.index_hmac.in_(some), valid
                )
                found.update((index, token) for index, token in connection.execute(query) if index)
        return found

    def find(self, element: str, tokens: Iterable[str]) -> dict[str, VaultRow]:
        """The entries behind these tokens, expired ones too, by token. One statement."""
        rows: dict[str, VaultRow] = {}
        with self._database.reading() as connection:
            for some in in_parts(tokens):
                which = (vault_entries.c.element == element) & vault_entries.c.token.in_(some)
                rows.update((row.token, VaultRow(*row)) for row in connection.execute(_ENTRY.where(which)))
        return rows

    def add(self, rows: Iterable[VaultRow]) -> set[str]:
        """Keep new entries, on disk before this returns; one statement. Returns the tokens that were kept.

        A row is left out when its value has a token already (`tokens` has it now) or when its token is taken.
        """
        # All writers go the same way through the index, so that none waits for one that waits for it.
        ordered = sorted(rows, key=lambda row: (row.element, row.version, row.index_hmac or b""))
        with self._database.writing() as connection:
            return self._database.insert_new(
                connection,
                vault_entries,
                [{name: getattr(row, name) for name in _COLUMNS} for row in ordered],
                returning=vault_entries.c.token,
            )

    def expire(self, now: datetime) -> int:
        """Take index and value away from every entry whose time has come; the tokens stay taken. Returns how many."""
        due = (vault_entries.c.expires_at <= now) & vault_entries.c.sealed.is_not(None)
        with self._database.writing() as connection:
            done = connection.execute(update(vault_entries).where(due).values(index_hmac=None, sealed=None))
            expired = done.rowcount
        if expired:
            self._database.forget()
        return expired
