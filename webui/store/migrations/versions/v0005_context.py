"""The text that a question is about."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("webui_turns", sa.Column("context", sa.Text, nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("webui_turns", "context")
