"""Conversations that nobody has judged can be kept, where that is chosen."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "conversations",
        sa.Column("key_id", sa.String(40), nullable=False),
        sa.Column("id", sa.String(128), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("arm", sa.String(200)),
        sa.Column("checkpoint", sa.String(60)),
        sa.Column("messages", sa.JSON, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("finish_reason", sa.String(50)),
        sa.Column("rater_id", sa.String(100)),
        sa.Column("session_id", sa.String(100)),
        sa.PrimaryKeyConstraint("key_id", "id", name="conversations_pkey"),
    )
    op.create_index("ix_conversations_page", "conversations", ["created", "id", "key_id"])
    op.create_index("ix_conversations_rater", "conversations", ["rater_id"])


def downgrade() -> None:
    op.drop_table("conversations")
