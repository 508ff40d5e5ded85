"""Alembic's entry: runs the migrations on the connection that `common.database_opening` hands over."""

from alembic import context

from webui.store.opening import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"], version_table=VERSION_TABLE, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
