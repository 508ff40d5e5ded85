"""Which version of an answer the conversation goes on from, where it is not the newest."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    chosen = sa.Column("chosen", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("webui_answers", chosen)


def downgrade() -> None:
    op.drop_column("webui_answers", "chosen")
