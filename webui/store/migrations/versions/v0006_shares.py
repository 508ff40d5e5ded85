"""Conversations that are shown to whoever has their address."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "webui_shares",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("conversation_id", sa.String(36), nullable=False, unique=True),
        sa.Column("answers", sa.JSON, nullable=False),
        sa.Column("hidden", sa.Boolean, nullable=False),
        sa.Column("shared", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("webui_shares")
