"""Every table of the database, as the newest migration leaves it."""

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()

COUNTS = (
    "ok",
    "cancelled",
    "failed",
    "refused",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "estimated_tokens",
    "withheld",
    "flagged",
)
"""Requests by outcome, then tokens; estimated ones, which no engine has counted, are in the others too. Then
requests that moderation has withheld or flagged, which are among the outcomes too."""
MODEL_LENGTH = 200
"""Most characters of a model's name that are kept."""
CHECKPOINT_LENGTH = 60
"""Of a checkpoint's id."""


def _about_feedback() -> list[sa.Column[Any]]:
    return [
        sa.Column("session_id", sa.String(100)),
        sa.Column("comment", sa.Text),
        sa.Column("category", sa.String(50)),
        sa.Column("prompt_hash", sa.String(16)),
        sa.Column("held_out", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("used_in", sa.JSON(none_as_null=True)),
        sa.Column("excluded", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("note", sa.Text),
    ]


votes = sa.Table(
    "votes",
    metadata,
    sa.Column("key_id", sa.String(40), primary_key=True),
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("created", sa.DateTime(timezone=True), nullable=False),
    sa.Column("choice", sa.String(10), nullable=False),
    sa.Column("blind", sa.Boolean, nullable=False),
    sa.Column("left_model", sa.String(200), nullable=False, index=True),
    sa.Column("right_model", sa.String(200), nullable=False, index=True),
    sa.Column("locale", sa.String(20), nullable=False),
    sa.Column("left", sa.JSON, nullable=False),
    sa.Column("right", sa.JSON, nullable=False),
    sa.Column("rater_id", sa.String(100)),
    sa.Column("left_checkpoint", sa.String(CHECKPOINT_LENGTH)),
    sa.Column("right_checkpoint", sa.String(CHECKPOINT_LENGTH)),
    sa.Column("comparison", sa.String(36)),
    *_about_feedback(),
    sa.Index("ix_votes_page", "created", "id", "key_id"),
)

ratings = sa.Table(
    "ratings",
    metadata,
    sa.Column("key_id", sa.String(40), primary_key=True),
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("created", sa.DateTime(timezone=True), nullable=False),
    sa.Column("model", sa.String(200), nullable=False, index=True),
    sa.Column("score", sa.Integer),
    sa.Column("tags", sa.JSON, nullable=False),
    sa.Column("blind", sa.Boolean, nullable=False),
    sa.Column("locale", sa.String(20), nullable=False),
    sa.Column("answer", sa.JSON, nullable=False),
    sa.Column("rater_id", sa.String(100)),
    sa.Column("thumb", sa.String(4)),
    sa.Column("correction", sa.Text),
    sa.Column("checkpoint", sa.String(CHECKPOINT_LENGTH)),
    *_about_feedback(),
    sa.Index("ix_ratings_page", "created", "id", "key_id"),
)

conversations = sa.Table(
    "conversations",
    metadata,
    sa.Column("key_id", sa.String(40), primary_key=True),
    sa.Column("id", sa.String(128), primary_key=True),  # the request's
    sa.Column("created", sa.DateTime(timezone=True), nullable=False),
    sa.Column("model", sa.String(200), nullable=False),
    sa.Column("arm", sa.String(200)),
    sa.Column("checkpoint", sa.String(CHECKPOINT_LENGTH)),
    sa.Column("messages", sa.JSON, nullable=False),
    sa.Column("answer", sa.Text, nullable=False),
    sa.Column("finish_reason", sa.String(50)),
    sa.Column("rater_id", sa.String(100)),
    sa.Column("session_id", sa.String(100)),
    sa.Index("ix_conversations_page", "created", "id", "key_id"),
    sa.Index("ix_conversations_rater", "rater_id"),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("secret_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("models", sa.JSON(none_as_null=True)),
    sa.Column("requests_per_min", sa.BigInteger),
    sa.Column("tokens_per_min", sa.BigInteger),
    sa.Column("concurrency", sa.BigInteger),
    sa.Column("budget_tokens", sa.BigInteger),
    sa.Column("admin", sa.Boolean, nullable=False),
    sa.Column("created", sa.DateTime(timezone=True), nullable=False),
    sa.Column("revoked", sa.DateTime(timezone=True)),
    sa.Column("expires", sa.DateTime(timezone=True)),
)

key_changes = sa.Table(
    "key_changes",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
)

usage = sa.Table(
    "usage",
    metadata,
    sa.Column("key_id", sa.String(40), primary_key=True),
    sa.Column("model", sa.String(MODEL_LENGTH), primary_key=True),
    sa.Column("arm", sa.String(MODEL_LENGTH), primary_key=True),
    sa.Column("checkpoint", sa.String(CHECKPOINT_LENGTH), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    *[sa.Column(name, sa.BigInteger, nullable=False, server_default="0") for name in COUNTS],
)

turns = sa.Table(
    "turns",
    metadata,
    sa.Column("id", sa.String(80), primary_key=True),
    sa.Column("begun", sa.DateTime(timezone=True), nullable=False, index=True),
    sa.Column("told", sa.DateTime(timezone=True), nullable=False),
    sa.Column("turn", sa.JSON, nullable=False),
)

usage_batches = sa.Table(
    "usage_batches",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("booked", sa.DateTime(timezone=True), nullable=False),
)

limit_windows = sa.Table(
    "limit_windows",
    metadata,
    sa.Column("key_id", sa.String(40), primary_key=True),
    sa.Column("kind", sa.String(10), primary_key=True),
    sa.Column("minute", sa.BigInteger, primary_key=True),
    sa.Column("used", sa.BigInteger, nullable=False),
)

concurrency_leases = sa.Table(
    "concurrency_leases",
    metadata,
    sa.Column("key_id", sa.String(40), primary_key=True),
    sa.Column("process", sa.String(40), primary_key=True),
    sa.Column("slots", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.Float, nullable=False),
)

budget_leases = sa.Table(
    "budget_leases",
    metadata,
    sa.Column("key_id", sa.String(40), primary_key=True),
    sa.Column("process", sa.String(40), primary_key=True),
    sa.Column("tokens", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.Float, nullable=False),
)
