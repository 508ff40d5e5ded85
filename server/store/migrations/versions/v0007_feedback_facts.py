"""Feedback knows the checkpoints, the sitting, the question and what it was used for; a rating may come
without a score."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("left_checkpoint", "right_checkpoint"):
        op.add_column("votes", sa.Column(name, sa.String(60)))
    with op.batch_alter_table("ratings") as ratings:
        ratings.alter_column("score", existing_type=sa.Integer, nullable=True)
        ratings.add_column(sa.Column("thumb", sa.String(4)))
        ratings.add_column(sa.Column("correction", sa.Text))
        ratings.add_column(sa.Column("checkpoint", sa.String(60)))
    for table in ("votes", "ratings"):
        for column in _about_feedback():
            op.add_column(table, column)


def _about_feedback() -> list[sa.Column[Any]]:
    return [
        sa.Column("session_id", sa.String(100)),
        sa.Column("comment", sa.Text),
        sa.Column("prompt_hash", sa.String(16)),
        sa.Column("held_out", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("used_in", sa.JSON),
    ]


def downgrade() -> None:
    raise NotImplementedError("What was said without a score would be lost; restore a backup instead.")
