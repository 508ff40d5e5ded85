"""The ledger knows which served model stood behind an alias and which checkpoint answered.

What was booked before has neither: it is not guessed.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COUNTS = (
    "ok",
    "cancelled",
    "failed",
    "refused",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "estimated_tokens",
)


def upgrade() -> None:
    # A new table takes the rows over: SQLite cannot change a primary key in place.
    op.create_table(
        "usage_by_checkpoint",
        sa.Column("key_id", sa.String(40), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("arm", sa.String(200), nullable=False),
        sa.Column("checkpoint", sa.String(60), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        *[sa.Column(name, sa.BigInteger, nullable=False) for name in COUNTS],
        sa.PrimaryKeyConstraint(
            "key_id", "model", "arm", "checkpoint", "day", name="usage_by_checkpoint_pkey"
        ),
    )
    kept = ", ".join(("key_id", "model", "day", *COUNTS))
    op.execute(
        sa.text(
            f"INSERT INTO usage_by_checkpoint (arm, checkpoint, {kept}) SELECT '', '', {kept} FROM usage"  # noqa: S608 constants
        )
    )
    op.drop_table("usage")
    op.rename_table("usage_by_checkpoint", "usage")


def downgrade() -> None:
    raise NotImplementedError("What each checkpoint answered would be lost; restore a backup instead.")
