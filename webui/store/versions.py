"""Other versions of answers, and conversations that branch off from others."""

import sqlalchemy as sa

from webui.conversation import Side, Turn
from webui.store.conversation_rows import (
    add_answer,
    add_conversation,
    add_turn,
    add_version,
    last_turn,
    mark_as_changed,
)
from webui.store.conversations import Conversation, StillAnswering, find_conversation
from webui.store.opening import PageDatabase
from webui.store.tables import answers


class Versions:
    """Every method takes the user, gives None for a conversation that is not theirs, and raises StoreFailed
    when the database does, and StillAnswering while an answer comes in."""

    def __init__(self, database: PageDatabase) -> None:
        self._database = database

    async def step(self, user: str, conversation_id: str, pane: str, by: int) -> Conversation | None:
        """Go on from the version of a pane's last answer that comes `by` places later (-1: earlier)."""

        def work(connection: sa.Connection) -> Conversation | None:
            found = _idle(connection, user, conversation_id)
            if found is None or pane not in found.versions:
                return found
            turn_id, _ = last_turn(connection, conversation_id)
            of = (answers.c.turn_id == turn_id) & (answers.c.pane == pane)
            wanted = of & (answers.c.version == found.versions[pane][0] + by)
            if connection.scalar(sa.select(answers.c.id).where(wanted)) is not None:
                connection.execute(sa.update(answers).where(of).values(chosen=False))
                connection.execute(sa.update(answers).where(wanted).values(chosen=True))
            return find_conversation(connection, user, conversation_id)

        return await self._database.run(work)

    async def proceed(self, user: str, conversation_id: str, pane: str) -> Conversation | None:
        """Have a pane's last answer, which broke off, go on: as a new version that begins with its text."""

        def work(connection: sa.Connection) -> Conversation | None:
            found = _idle(connection, user, conversation_id)
            last = found.sides.get(pane, Side()).last if found else None
            if found is None or last is None or not last.can_go_on:
                return found
            turn_id, question = last_turn(connection, conversation_id)
            begun = Turn(question=question, setup=last.setup, answer=last.answer, reasoning=last.reasoning)
            add_version(connection, turn_id, pane, begun)
            mark_as_changed(connection, conversation_id)
            return find_conversation(connection, user, conversation_id)

        return await self._database.run(work)

    async def branch(
        self, user: str, conversation_id: str, answer_id: str, title: str
    ) -> tuple[str | None, Turn] | None:
        """A copy of what stands before the question that an answer is to: the copy's id, None where nothing
        stands there, and the answer's turn. None also for an answer that the conversation does not show."""

        def work(connection: sa.Connection) -> tuple[str | None, Turn] | None:
            found = _idle(connection, user, conversation_id)
            for side in found.sides.values() if found else ():
                for number, turn in enumerate(side.turns):
                    if found is not None and turn.id == answer_id:
                        return _copy(connection, user, found, number, title), turn
            return None

        return await self._database.run(work)


def _idle(connection: sa.Connection, user: str, conversation_id: str) -> Conversation | None:
    found = find_conversation(connection, user, conversation_id, lock=True)
    if found is not None and found.running:
        raise StillAnswering
    return found


def _copy(connection: sa.Connection, user: str, found: Conversation, turns: int, title: str) -> str | None:
    """The first `turns` turns; what readers thought of the answers stays where they said it."""
    if turns == 0:
        return None
    kept = {pane: Side(turns=side.turns[:turns]) for pane, side in found.sides.items()}
    made = add_conversation(connection, user, found.kind, title, hidden=found.hidden)
    for number in range(turns):
        there = {pane: side.turns[number] for pane, side in kept.items() if number < len(side.turns)}
        first = next(iter(there.values()))
        turn_id = add_turn(connection, made, first.question, first.context, first.files)
        for pane, turn in there.items():
            fresh = Turn(question=turn.question, setup=turn.setup).id
            add_answer(connection, turn_id, pane, turn.model_copy(update={"id": fresh}))
    return made
