"""Votes and ratings belong to the key that sent them, and know who judged.

Rows of before belong to `anonymous`: whoever asks while no key exists goes on seeing them, and where there
are keys they are the administrators'.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _give_owners("votes", ["left_model", "right_model"], *_votes())
    _give_owners("ratings", ["model"], *_ratings())


def _give_owners(table: str, indexed: list[str], *columns: sa.Column[Any]) -> None:
    """A new table takes the rows over: SQLite cannot change a primary key in place."""
    names = ", ".join(f'"{column.name}"' for column in columns)
    made = op.create_table(
        f"{table}_owned",
        sa.Column("key_id", sa.String(40), nullable=False),
        *columns,
        sa.Column("rater_id", sa.String(100), nullable=True),
        # Each key has ids of its own: what another one has stored can be neither replaced nor noticed.
        sa.PrimaryKeyConstraint("key_id", "id", name=f"{table}_owned_pkey"),
    )
    op.execute(
        sa.text(f"INSERT INTO {made.name} (key_id, {names}) SELECT 'anonymous', {names} FROM {table}")  # noqa: S608 constants
    )
    op.drop_table(table)
    op.rename_table(made.name, table)
    for column in indexed:
        op.create_index(f"ix_{table}_{column}", table, [column])
    op.create_index(f"ix_{table}_page", table, ["created", "id", "key_id"])


def _votes() -> list[sa.Column[Any]]:
    return [
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("choice", sa.String(10), nullable=False),
        sa.Column("blind", sa.Boolean, nullable=False),
        sa.Column("left_model", sa.String(200), nullable=False),
        sa.Column("right_model", sa.String(200), nullable=False),
        sa.Column("locale", sa.String(20), nullable=False),
        sa.Column("left", sa.JSON, nullable=False),
        sa.Column("right", sa.JSON, nullable=False),
    ]


def _ratings() -> list[sa.Column[Any]]:
    return [
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("score", sa.Integer, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("blind", sa.Boolean, nullable=False),
        sa.Column("locale", sa.String(20), nullable=False),
        sa.Column("answer", sa.JSON, nullable=False),
    ]


def downgrade() -> None:
    raise NotImplementedError("Ids are unique for one key only; restore a backup instead.")
