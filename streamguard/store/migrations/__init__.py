"""How an older store becomes a newer one: Alembic's environment and its revisions."""
