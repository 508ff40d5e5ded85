"""Images and text files that go along with questions."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "webui_files",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("user_id", sa.String(64), nullable=False, index=True),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("type", sa.String(40), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("made", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "webui_turn_files",
        sa.Column("turn_id", sa.String(36), primary_key=True),
        sa.Column("file_id", sa.String(36), primary_key=True),
    )
    op.add_column("webui_turns", sa.Column("files", sa.JSON))


def downgrade() -> None:
    op.drop_column("webui_turns", "files")
    op.drop_table("webui_turn_files")
    op.drop_table("webui_files")
