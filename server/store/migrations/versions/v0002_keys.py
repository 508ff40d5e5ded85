"""API keys, their limits' windows and slots, and the usage ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_keys()
    _create_limits()
    _create_usage()


def _create_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("secret_hash", sa.String(64), nullable=False, unique=True),
        sa.Column("models", sa.JSON, nullable=True),
        sa.Column("requests_per_min", sa.BigInteger, nullable=True),
        sa.Column("tokens_per_min", sa.BigInteger, nullable=True),
        sa.Column("concurrency", sa.BigInteger, nullable=True),
        sa.Column("budget_tokens", sa.BigInteger, nullable=True),
        sa.Column("admin", sa.Boolean, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked", sa.DateTime(timezone=True), nullable=True),
    )
    changes = op.create_table(
        "key_changes",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(changes, [{"id": 1, "version": 0}])


def _create_limits() -> None:
    op.create_table(
        "limit_windows",
        sa.Column("key_id", sa.String(40), primary_key=True),
        sa.Column("kind", sa.String(10), primary_key=True),
        sa.Column("minute", sa.BigInteger, primary_key=True),
        sa.Column("used", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "concurrency_leases",
        sa.Column("key_id", sa.String(40), primary_key=True),
        sa.Column("process", sa.String(40), primary_key=True),
        sa.Column("slots", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.Float, nullable=False),
    )


def _create_usage() -> None:
    op.create_table(
        "usage",
        sa.Column("key_id", sa.String(40), primary_key=True),
        sa.Column("model", sa.String(200), primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        *[
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in (
                "ok",
                "cancelled",
                "failed",
                "refused",
                "prompt_tokens",
                "completion_tokens",
                "cached_tokens",
                "estimated_tokens",
            )
        ],
    )
    op.create_table(
        "usage_batches",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("booked", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    for table in (
        "usage_batches",
        "usage",
        "concurrency_leases",
        "limit_windows",
        "key_changes",
        "api_keys",
    ):
        op.drop_table(table)
