"""Folders for chats."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "webui_folders",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("deleted", sa.DateTime(timezone=True)),
    )
    there = sa.text("deleted IS NULL")
    op.create_index(
        "uq_webui_folders_name",
        "webui_folders",
        ["user_id", "name"],
        unique=True,
        sqlite_where=there,
        postgresql_where=there,
    )
    op.add_column("webui_conversations", sa.Column("folder_id", sa.String(36)))


def downgrade() -> None:
    op.drop_column("webui_conversations", "folder_id")
    op.drop_table("webui_folders")
