"""Administrators may leave a vote or rating out of results and trainings, and note why."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("votes", "ratings"):
        op.add_column(table, sa.Column("excluded", sa.Boolean, nullable=False, server_default=sa.false()))
        op.add_column(table, sa.Column("note", sa.Text))


def downgrade() -> None:
    raise NotImplementedError("What was left out would count again; restore a backup instead.")
