"""Votes that one look at more than two answers gave know of each other."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("votes", sa.Column("comparison", sa.String(36)))


def downgrade() -> None:
    raise NotImplementedError("What is one word would count as many; restore a backup instead.")
