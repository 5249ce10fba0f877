"""Alembic's entry: runs the chain on the connection that storage.db hands over."""

import sqlmodel  # noqa: F401  (types that a revision may name)
from alembic import context

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    render_as_batch=connection.dialect.name == "sqlite",
    transaction_per_migration=True,
    target_metadata=context.config.attributes.get("metadata"),
)
with context.begin_transaction():
    context.run_migrations()
