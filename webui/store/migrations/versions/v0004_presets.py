"""Settings of a side under a name."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "webui_presets",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("shared", sa.Boolean, nullable=False, index=True),
        sa.Column("value", sa.JSON, nullable=False),
        sa.UniqueConstraint("user_id", "name", name="uq_webui_presets_name"),
    )


def downgrade() -> None:
    op.drop_table("webui_presets")
