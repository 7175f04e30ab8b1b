"""What Alembic runs for every command: on the connection that `streamguard.store.migrate` hands over."""

from __future__ import annotations

from alembic import context

from streamguard.store.tables import metadata

# The transaction is the caller's: all revisions are applied, or none.
context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
