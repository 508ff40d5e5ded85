"""Turns of `kodolly improve` tell of themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "turns",
        sa.Column("id", sa.String(80), primary_key=True),
        sa.Column("begun", sa.DateTime(timezone=True), nullable=False, index=True),
        sa.Column("told", sa.DateTime(timezone=True), nullable=False),
        sa.Column("turn", sa.JSON, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("turns")
