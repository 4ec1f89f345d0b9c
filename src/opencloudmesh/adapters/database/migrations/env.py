"""Alembic's environment: runs the revisions on the connection that `migrate` hands over, inside its transaction."""

from alembic import context

from opencloudmesh.adapters.database.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
