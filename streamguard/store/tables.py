"""The tables of the store, in SQL that SQLite and PostgreSQL share.

A change here is a new migration too (docs/store.md tells how); the tests hold the two against each other.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator

REVISION: Final = "0002"
"""The migration that these tables are the outcome of. Revisions are counted, so that a greater one is a newer one."""


class UtcTime(TypeDecorator[datetime]):
    """A point in time, aware and in UTC on both sides (SQLite keeps no time zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC, before it is written or compared."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware again, where the database gave back a naive time; in UTC, whatever zone it answers in."""
        if value is None:
            return value
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()

# One row: which migration was the last. Alembic's own table, so that its tools find what they expect.
alembic_version = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), primary_key=True),
)

# `wrapped` is the data key, encrypted by the KMS; a destroyed key keeps its row, without it. A destruction that asks
# for a second person waits in `destruction_asked_*` until another one confirms it.
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
    Column("destruction_asked_by", Text),
    Column("destruction_asked_at", UtcTime),
    UniqueConstraint("element", "version"),  # version is null unless deterministic
    Index("data_keys_to_destroy", "destroy_after"),
)

# One random key per data subject. `reference` is the HMAC of the subject under the pinned key of `element`; it goes
# together with `wrapped` when the key is destroyed, so that a person who comes back gets a new key.
subject_keys = Table(
    "subject_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("reference", LargeBinary, unique=True),
    Column("element", Text, nullable=False),
    Column("wrapped", LargeBinary),
    Column("master", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("destroyed_at", UtcTime),
)

# Who asked to be forgotten: applied again after a backup was restored.
erasures = Table(
    "erasures",
    metadata,
    Column("reference", LargeBinary, primary_key=True),
    Column("requested_at", UtcTime, nullable=False),
    Column("by_whom", Text, nullable=False),
    Column("completed_at", UtcTime),
)

# `version` is that of the element's pinned key, under which the value is sealed and its HMAC, `index_hmac`, was made.
# An expired entry loses both and keeps its token, which therefore is never given out again.
vault_entries = Table(
    "vault_entries",
    metadata,
    Column("element", Text, primary_key=True),
    Column("token", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("index_hmac", LargeBinary),
    Column("sealed", LargeBinary),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime),
    UniqueConstraint("element", "version", "index_hmac"),
    Index("vault_entries_to_expire", "expires_at"),
)

# A chain: each `hash` covers its row and the hash before it. `seq` is given by us, without gaps.
audit_entries = Table(
    "audit_entries",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", UtcTime, nullable=False),
    Column("who", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("element", Text),
    Column("count", Integer, nullable=False),
    Column("purpose", Text),
    Column("decision", Text, nullable=False),
    Column("reason", Text),
    Column("reference_hmac", LargeBinary),
    Column("previous_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

audit_heads = Table(
    "audit_heads",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("signed_at", UtcTime, nullable=False),
)
