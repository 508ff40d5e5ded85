"""Usage tells how many requests moderation has withheld or flagged."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("withheld", "flagged"):
        op.add_column("usage", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    for name in ("withheld", "flagged"):
        op.drop_column("usage", name)
