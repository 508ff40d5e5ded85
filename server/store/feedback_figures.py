"""What the leaderboard reads of votes and ratings: everything but the texts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from common.database import Database
from common.feedback import Kind
from common.leaderboard.judgements import CastVote, GivenRating, in_utc, rating_of, vote_of
from server.store.owner import Owner
from server.store.tables import ratings, votes

AT_ONCE = 2000
MOST = 50_000
"""Votes, and as many ratings; of more the newest count."""
ANSWERS: Mapping[Kind, tuple[str, ...]] = {"votes": ("left", "right"), "ratings": ("answer",)}
TABLES: Mapping[Kind, sa.Table] = {"votes": votes, "ratings": ratings}
ABOUT = ("key_id", "id", "created", "rater_id", "session_id", "blind", "locale", "category")
OWN: Mapping[Kind, tuple[str, ...]] = {
    "votes": ("choice", "comparison"),
    "ratings": ("score", "thumb", "tags"),
}
FACTS = ("model", "arm", "checkpoint", "request_id")


@dataclass(slots=True)
class Figures:
    """Votes and ratings without their texts."""

    votes: list[CastVote] = field(default_factory=list)
    ratings: list[GivenRating] = field(default_factory=list)
    complete: bool = True
    """False: there were more than MOST."""


async def read_figures(database: Database, owner: Owner, since: datetime | None = None) -> Figures:
    """The owner's votes and ratings, everybody's for an administrator. Raises StoreFailed."""
    found = Figures()
    for kind in TABLES:
        rows = await _rows(database, kind, owner, since)
        found.complete &= len(rows) < MOST
        if kind == "votes":
            found.votes = [vote_of(row) for row in rows]
        else:
            found.ratings = [rating_of(row) for row in rows]
    return found


async def _rows(
    database: Database, kind: Kind, owner: Owner, since: datetime | None
) -> list[dict[str, object]]:
    """In steps, so that nobody else waits for long."""
    table = TABLES[kind]
    order = (table.c.created, table.c.id, table.c.key_id)
    query = sa.select(*_columns(kind)).where(table.c.excluded == sa.false())
    query = query.order_by(*(column.desc() for column in order)).limit(AT_ONCE)
    if not owner.sees_all:
        query = query.where(table.c.key_id == owner.key_id)
    if since is not None:
        query = query.where(table.c.created >= sa.literal(in_utc(since), table.c.created.type))
    rows: list[dict[str, object]] = []
    place: tuple[object, ...] | None = None
    while len(rows) < MOST:
        after = query
        if place is not None:
            values = [sa.literal(value, c.type) for value, c in zip(place, order, strict=True)]
            after = query.where(sa.tuple_(*order) < sa.tuple_(*values))
        page = await database.run(lambda connection, asked=after: _page(connection, asked, kind))  # type: ignore[misc]
        rows += [row for row, _ in page]
        if len(page) < AT_ONCE:
            break
        place = page[-1][1]
    return rows[:MOST]


def _columns(kind: Kind) -> list[sa.ColumnElement[Any]]:
    table = TABLES[kind]
    columns: list[sa.ColumnElement[Any]] = [table.c[name] for name in (*ABOUT, *OWN[kind])]
    for side in ANSWERS[kind]:
        text = table.c[side]["answer"].as_string()
        columns += [table.c[side][fact].as_string().label(f"{side}.{fact}") for fact in FACTS]
        columns.append(sa.func.coalesce(sa.func.length(text), 0).label(f"{side}.length"))
    return columns


def _page(
    connection: sa.Connection, query: sa.Select[Any], kind: Kind
) -> list[tuple[dict[str, object], tuple[object, ...]]]:
    """Rows as the lists of feedback show them, and the place of each."""
    found: list[tuple[dict[str, object], tuple[object, ...]]] = []
    for read in connection.execute(query).mappings():
        row = {name: read[name] for name in (*ABOUT, *OWN[kind])}
        row["created"] = in_utc(read["created"]).isoformat()
        for side in ANSWERS[kind]:
            row[side] = {fact: read[f"{side}.{fact}"] for fact in (*FACTS, "length")}
        found.append((row, (read["created"], read["id"], read["key_id"])))
    return found
