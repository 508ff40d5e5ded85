"""Feedback may name the kind of question it is about."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("votes", "ratings"):
        op.add_column(table, sa.Column("category", sa.String(50)))


def downgrade() -> None:
    for table in ("votes", "ratings"):
        op.drop_column(table, "category")
