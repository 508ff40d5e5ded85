"""Users, conversations with a record for each turn and answer, votes, settings."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_conversations()
    _create_turns()
    op.create_table(
        "webui_votes",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("conversation_id", sa.String(36), nullable=False, index=True),
        sa.Column("choice", sa.String(10), nullable=False),
    )
    op.create_table(
        "webui_settings",
        sa.Column("user_id", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("value", sa.JSON, nullable=False),
    )


def _create_conversations() -> None:
    op.create_table(
        "webui_users",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("rater_id", sa.String(100), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "webui_conversations",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("pinned", sa.Boolean, nullable=False),
        sa.Column("hidden", sa.Boolean, nullable=False),
        sa.Column("updated", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted", sa.DateTime(timezone=True)),
    )
    op.create_index(
        "ix_webui_conversations_list", "webui_conversations", ["user_id", "kind", "pinned", "updated"]
    )


def _create_turns() -> None:
    op.create_table(
        "webui_turns",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("conversation_id", sa.String(36), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("withdrawn", sa.Boolean, nullable=False),
        sa.UniqueConstraint("conversation_id", "position", name="uq_webui_turns_position"),
    )
    op.create_table(
        "webui_answers",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("turn_id", sa.String(36), nullable=False),
        sa.Column("pane", sa.String(10), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("setup", sa.JSON, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("outcome", sa.JSON, nullable=False),
        sa.Column("mark", sa.JSON(none_as_null=True)),
        sa.Column("written", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("turn_id", "pane", "version", name="uq_webui_answers_version"),
    )


def downgrade() -> None:
    for name in ("settings", "votes", "answers", "turns", "conversations", "users"):
        op.drop_table(f"webui_{name}")
