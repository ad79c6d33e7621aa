"""Alembic's entry: runs the inbox's migrations on the connection that was handed in, inside its lock."""

from __future__ import annotations

from alembic import context

from marketplace_returns.webhooks.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,  # in Postgres the ledger's own versions stand beside it
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
