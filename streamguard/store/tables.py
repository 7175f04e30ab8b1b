"""The tables of the store, in SQL that SQLite and PostgreSQL share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import (
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator

SCHEMA_VERSION: Final = 1
"""Raised with every change of a table; a store with a higher one was written by a newer StreamGuard."""


class UtcTime(TypeDecorator[datetime]):
    """A point in time, aware and in UTC on both sides (SQLite keeps no time zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC, before it is written or compared."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware again, where the database gave back a naive time."""
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


metadata = MetaData()

schema_version = Table(
    "schema_version",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("applied_at", UtcTime, nullable=False),
)

# `wrapped` is the data key, encrypted by the KMS; a destroyed key keeps its row, without it.
data_keys = Table(
    "data_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("element", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("version", Integer),
    Column("wrapped", LargeBinary),
    Column("master", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("destroy_after", UtcTime),
    Column("destroyed_at", UtcTime),
    UniqueConstraint("element", "version"),  # version is null unless deterministic
    Index("data_keys_to_destroy", "destroy_after"),
)
