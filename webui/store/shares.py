"""Conversations that their owner shows to others, as they stood then, at an address that nobody guesses."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from webui.conversation import Side
from webui.store.answer_rows import ASKED, turn_of
from webui.store.conversations import Kind, find_conversation, panes_of
from webui.store.opening import PageDatabase
from webui.store.tables import answers, conversations, shares, turns

WORD_BYTES = 18
"""Of the random word in the address: 144 bits."""


@dataclass(frozen=True, slots=True)
class SharedConversation:
    """What others see."""

    kind: Kind
    title: str
    hidden: bool
    """The names of the models were hidden when it was shared."""
    sides: Mapping[str, Side]
    """By pane."""
    shared: datetime


class Shares:
    """Every method raises StoreFailed when the database does."""

    def __init__(self, database: PageDatabase) -> None:
        self._database = database

    async def share(self, user: str, conversation_id: str) -> str | None:
        """Show what stands in it now; returns the word of its address, which stays the same until it is taken
        back. None for one that is not the user's."""

        def work(connection: sa.Connection) -> str | None:
            found = find_conversation(connection, user, conversation_id, lock=True)
            if found is None:
                return None
            seen = [turn.id for side in found.sides.values() for turn in side.turns]
            values = {"answers": seen, "hidden": found.hidden, "shared": datetime.now(UTC)}
            of = shares.c.conversation_id == conversation_id
            if connection.execute(sa.update(shares).where(of).values(**values)).rowcount:
                return found.share
            word = secrets.token_urlsafe(WORD_BYTES)
            row = {"id": word, "conversation_id": conversation_id, **values}
            connection.execute(sa.insert(shares).values(row))
            return word

        return await self._database.run(work)

    async def take_back(self, user: str, conversation_id: str) -> None:
        """From now on its address leads nowhere."""

        def work(connection: sa.Connection) -> None:
            if find_conversation(connection, user, conversation_id) is not None:
                of = shares.c.conversation_id == conversation_id
                connection.execute(sa.delete(shares).where(of))

        await self._database.run(work)

    async def find(self, word: str) -> SharedConversation | None:
        """What the address shows; None for one that was taken back or whose conversation is deleted."""

        def work(connection: sa.Connection) -> SharedConversation | None:
            row = connection.execute(
                sa.select(shares, conversations.c.kind, conversations.c.title)
                .join(conversations, conversations.c.id == shares.c.conversation_id)
                .where(shares.c.id == word, conversations.c.deleted.is_(None))
            ).one_or_none()
            if row is None:
                return None
            given = connection.execute(
                sa.select(answers, *ASKED)
                .join(turns, turns.c.id == answers.c.turn_id)
                .where(answers.c.id.in_(row.answers), turns.c.withdrawn.is_(False))
                .order_by(turns.c.position)
            ).all()
            sides = {
                pane: Side(turns=tuple(turn_of(one) for one in given if one.pane == pane))
                for pane in panes_of(row.kind, {one.pane for one in given})
            }
            return SharedConversation(row.kind, row.title, row.hidden, sides, row.shared)

        return await self._database.run(work)
