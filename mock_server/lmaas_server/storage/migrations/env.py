"""How Alembic reaches the database: over the connection its caller holds open."""

from __future__ import annotations

from alembic import context

from lmaas_server.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
