"""Votes and ratings in the database: each belongs to the key that sent it."""

import asyncio
import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import sqlalchemy as sa

from common.database import Database
from common.errors import BadRequest, NotFound
from common.feedback import (
    Excluded,
    FeedbackUse,
    JudgedAnswer,
    JudgedRating,
    Judgement,
    RequestFeedback,
    StoredKind,
    Vote,
    kept_id,
)
from common.leaderboard.judgements import in_utc
from common.prompt_hash import HELD_OUT_SHARE, is_held_out, prompt_hash
from common.status import FeedbackText
from server.store.answered import RecentAnswers
from server.store.feedback_figures import Figures, read_figures
from server.store.owner import Owner, visible
from server.store.reviews import Reviews
from server.store.tables import conversations, ratings, votes

Row = dict[str, object]
"""A vote or a rating as clients see it."""
TABLES: Mapping[StoredKind, sa.Table] = {"votes": votes, "ratings": ratings, "conversations": conversations}
BY_REQUEST = UUID("6f2d6f0e-8f0b-5f4c-9d57-9a5b6f0d7c11")
"""Name space of ids that are made of rater and request."""
ConversationOf = Callable[[Owner, str], Awaitable[JudgedAnswer | None]]
"""The owner's conversation with this request id, if it is kept."""
AT_ONCE = 500
"""Ids in one statement."""


@dataclass(frozen=True, slots=True)
class RowsPage:
    """Some rows, the newest first."""

    rows: list[Row]
    next: str | None
    """Cursor of the page behind this one; None when this is the last."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What is kept of feedback, and which questions are for judging only."""

    text: FeedbackText = "rated"
    """With `none` nobody's words are stored, neither a conversation's nor a rater's."""
    held_out: float = HELD_OUT_SHARE

    @property
    def keeps_text(self) -> bool:
        """Whether conversations that come along with feedback are stored."""
        return self.text != "none"


class FeedbackStore:
    """Reads and writes feedback. All calls may raise StoreFailed."""

    def __init__(
        self,
        database: Database,
        policy: Policy = Policy(),
        answered: RecentAnswers | None = None,
        conversation_of: ConversationOf | None = None,
    ) -> None:
        """`conversation_of` finds those that are kept without feedback, where that is chosen."""
        self._database = database
        self.policy = policy
        self.reviews = Reviews(database)
        self._answered = answered or RecentAnswers()
        self._conversation_of = conversation_of

    async def put_vote(self, owner: Owner, vote_id: str, vote: Vote) -> None:
        """Store the vote under `vote_id`, replacing the owner's earlier one."""
        left, right = self._known(owner, vote.left), self._known(owner, vote.right)
        values: dict[str, object] = {
            "choice": vote.choice,
            "left_model": left.model,
            "right_model": right.model,
            "left_checkpoint": left.checkpoint,
            "right_checkpoint": right.checkpoint,
            "left": self._kept(left),
            "right": self._kept(right),
            "blind": vote.blind,
            "comparison": str(vote.comparison) if vote.comparison else None,
        }
        values |= await asyncio.to_thread(_about, self.policy, vote, left)
        await self._database.run(lambda connection: _put(connection, votes, owner, vote_id, values))

    async def put_rating(self, owner: Owner, rating_id: str, rating: JudgedRating) -> None:
        """Store the rating under `rating_id`, replacing the owner's earlier one."""
        answer = self._known(owner, rating.answer)
        values: dict[str, object] = {
            "model": answer.model,
            "checkpoint": answer.checkpoint,
            "score": rating.score,
            "thumb": rating.thumb,
            "tags": rating.tags,
            "correction": rating.correction if self.policy.keeps_text else None,
            "answer": self._kept(answer),
            "blind": rating.blind,
        }
        values |= await asyncio.to_thread(_about, self.policy, rating, answer)
        await self._database.run(lambda connection: _put(connection, ratings, owner, rating_id, values))

    async def put_on_request(self, owner: Owner, said: RequestFeedback) -> tuple[str, JudgedAnswer]:
        """Store an opinion on a request's answer; the rating's id and what is known of the answer.

        Raises NotFound when neither the gateway nor the client knows which model answered.
        """
        answer = self._known(owner, await self._judged(owner, said))
        about = {"request_id", "id", "model", "checkpoint", "messages", "answer", "finish_reason"}
        rating = JudgedRating(**said.model_dump(exclude=about), answer=answer)
        rating_id = str(said.id or uuid5(BY_REQUEST, f"{said.rater_id or ''}\n{said.request_id}"))
        await self.put_rating(owner, rating_id, rating)
        return rating_id, answer

    async def _judged(self, owner: Owner, said: RequestFeedback) -> JudgedAnswer:
        """The answer to the request, with the conversation as it came along or was kept. Raises NotFound."""
        kept = None
        if self._conversation_of is not None:
            kept = await self._conversation_of(owner, said.request_id)
        if kept is not None and not said.messages:
            return kept
        known = self._answered.of(said.request_id, owner)
        model = known.model if known is not None else said.model
        if kept is None and model is None:
            raise NotFound(
                f"The request {said.request_id!r} is not known here (any more).",
                param="request_id",
                hint="Send `model`, and as `checkpoint` the answer's x-kodolly-checkpoint, along with it.",
            )
        seen = kept or JudgedAnswer(model=model or "", request_id=said.request_id, checkpoint=said.checkpoint)
        ended = said.finish_reason or seen.finish_reason
        words = {"messages": said.messages, "answer": said.answer, "finish_reason": ended}
        return seen.model_copy(update=words)

    def _known(self, owner: Owner, answer: JudgedAnswer) -> JudgedAnswer:
        """With model, arm and checkpoint as this gateway saw them; what a client says counts where it has
        not seen the request."""
        known = self._answered.of(answer.request_id, owner) if answer.request_id else None
        if known is None:
            return answer
        seen = {"model": known.model, "arm": known.arm or None, "checkpoint": known.checkpoint or None}
        return answer.model_copy(update=seen)

    def _kept(self, answer: JudgedAnswer) -> dict[str, object]:
        kept = answer if self.policy.keeps_text else answer.without_text()
        return kept.model_dump(mode="json")

    async def figures(self, owner: Owner, since: datetime | None = None) -> Figures:
        """All that results are made of."""
        return await read_figures(self._database, owner, since)

    async def forget_rater(self, owner: Owner, rater_id: str) -> dict[StoredKind, int]:
        """Delete everything of one rater, as far as it is the owner's; how much that was. The conversations
        that the rater has judged are among it, whoever is named in them."""
        rater_id = kept_id(_text_without_nul(rater_id))

        def delete(connection: sa.Connection) -> dict[StoredKind, int]:
            gone: dict[StoredKind, int] = {}
            for kind, table in reversed(tuple(TABLES.items())):
                doomed = table.c.rater_id == rater_id
                if table is conversations:
                    doomed |= sa.tuple_(table.c.key_id, table.c.id).in_(_judged_by(rater_id))
                gone[kind] = connection.execute(table.delete().where(doomed, visible(table, owner))).rowcount
            return gone

        return await self._database.run(delete)

    async def mark_used(self, owner: Owner, use: FeedbackUse) -> int:
        """Note that a training used these; how many of them there are."""
        asked: dict[StoredKind, list[str]] = {
            "votes": [str(one) for one in use.votes],
            "ratings": [str(one) for one in use.ratings],
        }

        def mark(connection: sa.Connection) -> int:
            return sum(
                _mark(connection, TABLES[kind], owner, ids[at : at + AT_ONCE], use.run)
                for kind, ids in asked.items()
                for at in range(0, len(ids), AT_ONCE)
            )

        return await self._database.run(mark)

    async def get(self, kind: StoredKind, owner: Owner, row_id: str) -> Row:
        """One row. Raises NotFound, for another key's row too."""
        table = TABLES[kind]

        def read(connection: sa.Connection) -> Row | None:
            key_id = _key_of(connection, table, owner, row_id)
            found = connection.execute(table.select().where(_is(table, key_id, row_id))).mappings().first()
            return _shown(found, owner) if found is not None else None

        row = await self._database.run(read)
        if row is None:
            raise _not_found(row_id)
        return row

    async def delete(self, kind: StoredKind, owner: Owner, row_id: str) -> None:
        """Take one row away. Raises NotFound, for another key's row too."""
        table = TABLES[kind]

        def delete(connection: sa.Connection) -> int:
            key_id = _key_of(connection, table, owner, row_id)
            return connection.execute(table.delete().where(_is(table, key_id, row_id))).rowcount

        if await self._database.run(delete) == 0:
            raise _not_found(row_id)

    async def page(
        self,
        kind: StoredKind,
        owner: Owner,
        limit: int,
        after: str | None = None,
        since: datetime | None = None,
        excluded: Excluded = "no",
    ) -> RowsPage:
        """The newest `limit` rows behind the cursor `after`, none of before `since`; `excluded` is about
        what administrators have left out. Raises BadRequest for a broken cursor.

        A row keeps its place when it is replaced, and new ones come before the first: whoever follows the
        pages to their end sees every row that was there at the start exactly once.
        """
        table = TABLES[kind]
        order = (table.c.created, table.c.id, table.c.key_id)
        query = table.select().order_by(*(column.desc() for column in order)).limit(limit + 1)
        query = query.where(visible(table, owner))
        if excluded != "also" and table is not conversations:
            query = query.where(table.c.excluded == (excluded == "only"))
        if since is not None:
            query = query.where(table.c.created >= sa.literal(in_utc(since), table.c.created.type))
        if after is not None:
            query = query.where(sa.tuple_(*order) < sa.tuple_(*_cursor_values(table, after)))

        def read(connection: sa.Connection) -> list[Row]:
            return [_shown(row, owner) for row in connection.execute(query).mappings()]

        rows = await self._database.run(read)
        more = len(rows) > limit
        return RowsPage(rows[:limit], _cursor(rows[limit - 1]) if more else None)


def _about(policy: Policy, said: Judgement, answer: JudgedAnswer) -> dict[str, object]:
    """A long question takes a second to hash: not for the event loop."""
    hashed = prompt_hash(answer.messages) if policy.keeps_text else ""
    return {
        "locale": said.locale,
        "rater_id": said.rater_id,
        "session_id": said.session_id,
        "comment": said.comment if policy.keeps_text else None,
        "category": said.category,
        "prompt_hash": hashed or None,
        "held_out": is_held_out(hashed, policy.held_out),
    }


def _judged_by(rater_id: str) -> sa.CompoundSelect[tuple[str, str]]:
    """Keys and ids of the requests whose answers the rater has judged."""
    answers = ((votes, votes.c.left), (votes, votes.c.right), (ratings, ratings.c.answer))
    asked = (
        sa.select(table.c.key_id, answer["request_id"].as_string()).where(table.c.rater_id == rater_id)
        for table, answer in answers
    )
    return sa.union(*asked)


def _mark(connection: sa.Connection, table: sa.Table, owner: Owner, ids: list[str], run: str) -> int:
    found = table.c.id.in_(ids) & visible(table, owner)
    rows = list(connection.execute(sa.select(table.c.key_id, table.c.id, table.c.used_in).where(found)))
    for key_id, row_id, runs in rows:
        if run not in (runs or []):
            marked = table.update().where(_is(table, key_id, row_id)).values(used_in=[*(runs or []), run])
            connection.execute(marked)
    return len(rows)


def _put(
    connection: sa.Connection, table: sa.Table, owner: Owner, row_id: str, values: Mapping[str, object]
) -> None:
    key_id = _key_of(connection, table, owner, row_id)
    values = {name: _without_nul(value) for name, value in values.items()}
    if connection.execute(table.update().where(_is(table, key_id, row_id)).values(**values)).rowcount == 0:
        connection.execute(
            table.insert().values(key_id=key_id, id=row_id, created=datetime.now(UTC), **values)
        )


def _without_nul(value: object) -> object:
    """PostgreSQL keeps no U+0000 in texts, and cannot look into a JSON value that has one."""
    if isinstance(value, str):
        return _text_without_nul(value)
    if isinstance(value, Mapping):
        return {name: _without_nul(inner) for name, inner in value.items()}
    return [_without_nul(inner) for inner in value] if isinstance(value, list) else value


def _text_without_nul(text: str) -> str:
    return text.replace("\x00", "")


def _key_of(connection: sa.Connection, table: sa.Table, owner: Owner, row_id: str) -> str:
    """Whose row with this id is meant: the owner's own; for an administrator, else, the first stored."""
    if not owner.sees_all:
        return owner.key_id
    rows = sa.select(table.c.key_id).where(table.c.id == row_id).order_by(table.c.created)
    keys = list(connection.execute(rows).scalars())
    return owner.key_id if owner.key_id in keys or not keys else str(keys[0])


def _is(table: sa.Table, key_id: str, row_id: str) -> sa.ColumnElement[bool]:
    return (table.c.key_id == key_id) & (table.c.id == row_id)


def _shown(row: sa.RowMapping, owner: Owner) -> Row:
    """Administrators' notes are for administrators."""
    created: datetime = row["created"]
    # SQLite keeps no time zone; all that we store is UTC.
    columns: Row = {str(name): value for name, value in row.items() if owner.sees_all or name != "note"}
    return columns | {"created": created.replace(tzinfo=created.tzinfo or UTC).isoformat()}


def _cursor(row: Mapping[str, object]) -> str:
    place = json.dumps([row["created"], row["id"], row["key_id"]])
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def _cursor_values(table: sa.Table, cursor: str) -> list[sa.ColumnElement[Any]]:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        created, row_id, key_id = json.loads(text)
        moment = datetime.fromisoformat(created).astimezone(UTC)
    except (binascii.Error, ValueError, TypeError, OverflowError) as error:
        raise BadRequest(
            "This is not a cursor.", param="after", hint="Send the `next` of the page before."
        ) from error
    row_id, key_id = (_text_without_nul(str(text)) for text in (row_id, key_id))
    values = ((table.c.created, moment), (table.c.id, row_id), (table.c.key_id, key_id))
    return [sa.literal(value, column.type) for column, value in values]


def _not_found(row_id: str) -> NotFound:
    return NotFound(f"There is no feedback {row_id!r} of this key.", param="id")
