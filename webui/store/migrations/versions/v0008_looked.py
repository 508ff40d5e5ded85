"""When a page last looked at an answer that another process fetches."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("webui_answers", sa.Column("looked", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("webui_answers", "looked")
