"""What an OpenID Connect provider said of who is logged in."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("webui_sessions", sa.Column("named", sa.JSON))


def downgrade() -> None:
    op.drop_column("webui_sessions", "named")
