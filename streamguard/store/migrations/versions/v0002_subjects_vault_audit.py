"""Subject keys, the vault, the audit trail; who asked for a key to be destroyed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """To this revision."""
    op.execute("DROP TABLE IF EXISTS schema_version")  # how a store was marked before there were migrations
    op.add_column("data_keys", sa.Column("destruction_asked_by", sa.Text))
    op.add_column("data_keys", sa.Column("destruction_asked_at", sa.DateTime(timezone=True)))
    op.create_table(
        "subject_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("reference", sa.LargeBinary, unique=True),
        sa.Column("element", sa.Text, nullable=False),
        sa.Column("wrapped", sa.LargeBinary),
        sa.Column("master", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("destroyed_at", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "erasures",
        sa.Column("reference", sa.LargeBinary, primary_key=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by_whom", sa.Text, nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "vault_entries",
        sa.Column("element", sa.Text, primary_key=True),
        sa.Column("token", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("index_hmac", sa.LargeBinary),
        sa.Column("sealed", sa.LargeBinary),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.UniqueConstraint("element", "version", "index_hmac"),
    )
    op.create_index("vault_entries_to_expire", "vault_entries", ["expires_at"])
    op.create_table(
        "audit_entries",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("element", sa.Text),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("purpose", sa.Text),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("reference_hmac", sa.LargeBinary),
        sa.Column("previous_hash", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "audit_heads",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
    )
