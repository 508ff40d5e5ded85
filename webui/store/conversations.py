"""Conversations on disk: a record for each conversation, each turn and each answer, never a blob.

Whoever asks sees their own alone: every function takes the user. What two tabs do at once is decided by the
database; a tab that shows an old state gets the new one back with its next action.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from webui.conversation import ComparisonChoice, Mark, Setup, Side, Turn
from webui.store.answer_rows import ASKED, Shown, mark_of, shown_answers, turn_of
from webui.store.conversation_rows import (
    add_answer,
    add_conversation,
    add_turn,
    add_version,
    as_title,
    last_turn,
    mark_as_changed,
    set_fields,
)
from webui.store.files import find_files
from webui.store.growing_answers import (
    AnswerStanding,
    answers_of,
    ask_to_end,
    give_up_abandoned,
    write_growing,
)
from webui.store.history import History, read_history
from webui.store.opening import PageDatabase
from webui.store.tables import answers, conversations, shares, turns, votes

Kind = Literal["chat", "compare"]
PANES: Mapping[Kind, tuple[str, ...]] = {"chat": ("chat",), "compare": ("left", "right", "third", "fourth")}
FEWEST: Mapping[Kind, int] = {"chat": 1, "compare": 2}
"""Panes that a conversation has at least. How many it has its first question fixes."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """All that is shown of one conversation."""

    id: str
    kind: Kind
    title: str
    pinned: bool
    hidden: bool
    """The names of the models are hidden right now."""
    sides: Mapping[str, Side]
    """By pane: `chat`, or `left` and `right`, and perhaps `third` and `fourth`."""
    marks: Mapping[str, Mark]
    """Ratings by answer id."""
    votes: Mapping[str, ComparisonChoice]
    """By the key of the answers (`comparison_votes`)."""
    versions: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By pane: which version of its last answer is shown, and how many there are."""
    share: str | None = None
    """The word of the address under which others see it."""
    folder: str | None = None
    """Id of the folder that it is in, perhaps a deleted one."""

    @property
    def running(self) -> bool:
        return any(side.running for side in self.sides.values())


@dataclass(frozen=True, slots=True)
class NewQuestion:
    """What is asked."""

    question: str
    setups: Mapping[str, Setup]
    """By pane."""
    context: str = ""
    files: Sequence[str] = ()
    """Ids."""
    hidden: bool = False
    """Of a new conversation: the names of the models are hidden."""


class StillAnswering(Exception):
    """The last question has no answer yet, perhaps in another tab: nothing was changed."""


class Conversations:
    """Conversations of all users. Every method raises StoreFailed when the database does."""

    def __init__(self, database: PageDatabase) -> None:
        self._database = database

    async def get(self, user: str, conversation_id: str, kind: Kind | None = None) -> Conversation | None:
        """One conversation, of this kind if one is given; None for one that is not the user's, or deleted."""
        found = await self._database.run(lambda c: find_conversation(c, user, conversation_id))
        return found if found is not None and kind in (None, found.kind) else None

    async def answers(self, user: str, answer_ids: Sequence[str]) -> dict[str, Shown]:
        """Answers of the user's by their ids; those of others, or deleted ones, are left out. Whoever
        fetches one learns that it is looked at."""
        return await self._database.run(lambda c: shown_answers(c, user, answer_ids))

    async def newest(self, user: str, kind: Kind) -> Conversation | None:
        """The conversation that something was asked in last."""

        def work(connection: sa.Connection) -> Conversation | None:
            found = connection.scalar(
                sa.select(conversations.c.id)
                .where(_of(user, kind))
                .order_by(conversations.c.updated.desc())
                .limit(1)
            )
            return find_conversation(connection, user, found) if found else None

        return await self._database.run(work)

    async def history(self, user: str, kind: Kind, search: str = "") -> History:
        """The list of them; `search` looks into titles and questions."""
        return await self._database.run(lambda c: read_history(c, user, kind, search))

    async def ask(
        self,
        user: str,
        kind: Kind,
        conversation_id: str | None,
        question: str,
        setups: Mapping[str, Setup],
        *,
        context: str = "",
        files: Sequence[str] = (),
        hidden: bool = False,
    ) -> Conversation:
        """Add one question to a conversation; for None, or one that is gone or of another kind, to a new one,
        which has the panes of `setups` from then on.

        files: ids. `hidden` is for new ones. Raises StillAnswering while the last question is not answered,
        FileGone, NoImages and ImagesTooLarge.
        """

        new = NewQuestion(question, setups, context, files, hidden)
        return await self._database.run(lambda c: add_question(c, user, kind, conversation_id, new))

    async def ask_again(
        self, user: str, conversation_id: str, pane: str, setup: Setup
    ) -> Conversation | None:
        """The last question anew at one pane; the old answer stays as an earlier version.

        None for a conversation that is gone. Raises StillAnswering.
        """

        def work(connection: sa.Connection) -> Conversation | None:
            found = find_conversation(connection, user, conversation_id, lock=True)
            if found is None or found.sides[pane].last is None:
                return found
            if found.sides[pane].running:
                raise StillAnswering
            turn_id, question = last_turn(connection, conversation_id)
            add_version(connection, turn_id, pane, Turn(question=question, setup=setup))
            mark_as_changed(connection, conversation_id)
            return _must_get(connection, user, conversation_id)

        return await self._database.run(work)

    async def withdraw(self, user: str, conversation_id: str) -> Conversation | None:
        """Take the last question back. Raises StillAnswering."""

        def work(connection: sa.Connection) -> Conversation | None:
            found = find_conversation(connection, user, conversation_id, lock=True)
            if found is None or all(side.last is None for side in found.sides.values()):
                return found
            if found.running:
                raise StillAnswering
            turn_id, _ = last_turn(connection, conversation_id)
            connection.execute(sa.update(turns).where(turns.c.id == turn_id).values(withdrawn=True))
            return _must_get(connection, user, conversation_id)

        return await self._database.run(work)

    async def write_answer(self, turn: Turn) -> AnswerStanding:
        """Keep an answer as far as it came, unless it is wanted no longer."""
        return await self._database.run(lambda connection: write_growing(connection, turn))

    async def stop(self, user: str, conversation_id: str) -> None:
        """End the answers that come, whichever process fetches them: it sees so within a second or two."""

        def work(connection: sa.Connection) -> None:
            if find_conversation(connection, user, conversation_id) is not None:
                ask_to_end(connection, answers_of(conversation_id))

        await self._database.run(work)

    async def vote(
        self, user: str, conversation_id: str, key: str, choice: ComparisonChoice
    ) -> Conversation | None:
        """Keep a vote and show the names."""

        def work(connection: sa.Connection) -> Conversation | None:
            if find_conversation(connection, user, conversation_id, lock=True) is None:
                return None
            connection.execute(sa.delete(votes).where(votes.c.id == key))
            row = {"id": key, "conversation_id": conversation_id, "choice": choice}
            connection.execute(sa.insert(votes).values(row))
            set_fields(connection, user, conversation_id, hidden=False)
            return find_conversation(connection, user, conversation_id)

        return await self._database.run(work)

    async def show_names(self, user: str, conversation_id: str) -> None:
        """Show the names of the models from now on."""
        await self._database.run(lambda c: set_fields(c, user, conversation_id, hidden=False))

    async def rename(self, user: str, conversation_id: str, title: str) -> None:
        """Give it a title; an empty one changes nothing."""
        title = as_title(title)
        if title:
            await self._database.run(lambda c: set_fields(c, user, conversation_id, title=title))

    async def pin(self, user: str, conversation_id: str, *, pinned: bool) -> None:
        """Hold it at the top of the list, or let it go."""
        await self._database.run(lambda c: set_fields(c, user, conversation_id, pinned=pinned))

    async def delete(self, user: str, conversation_id: str) -> None:
        """Take it out of every list, and end what is being answered; `restore` brings it back."""

        def work(connection: sa.Connection) -> None:
            if find_conversation(connection, user, conversation_id, lock=True) is not None:
                set_fields(connection, user, conversation_id, deleted=datetime.now(UTC))
                ask_to_end(connection, answers_of(conversation_id))

        await self._database.run(work)

    async def restore(self, user: str, conversation_id: str) -> Conversation | None:
        """Bring a deleted one back."""

        def work(connection: sa.Connection) -> Conversation | None:
            set_fields(connection, user, conversation_id, deleted=None)
            return find_conversation(connection, user, conversation_id)

        return await self._database.run(work)

    async def take_over(self, user: str, kept: Conversation) -> None:
        """Store a conversation that a browser kept; one that is there already stays as it is."""

        def work(connection: sa.Connection) -> None:
            taken = sa.select(conversations.c.id).where(conversations.c.id == kept.id)
            first = next((side.turns[0] for side in kept.sides.values() if side.turns), None)
            if first is None or connection.scalar(taken) is not None:
                return
            try:
                with connection.begin_nested():
                    add_conversation(
                        connection, user, kept.kind, first.question, hidden=kept.hidden, known=kept.id
                    )
            except IntegrityError:  # another tab takes it over right now
                return
            for number in range(max(len(side.turns) for side in kept.sides.values())):
                _take_turn(connection, kept, number)
            for key, choice in kept.votes.items():
                row = {"id": key, "conversation_id": kept.id, "choice": choice}
                connection.execute(sa.insert(votes).values(row))

        await self._database.run(work)


def add_question(
    connection: sa.Connection, user: str, kind: Kind, conversation_id: str | None, new: NewQuestion
) -> Conversation:
    """`Conversations.ask` in a transaction of the caller's. What it returns is put together from what has
    been written, not read again."""
    found = find_conversation(connection, user, conversation_id, lock=True) if conversation_id else None
    if found is not None and found.kind != kind:
        found = None
    if found is not None and found.running:
        raise StillAnswering
    asked = _asked_panes(found, new.setups)
    attached = find_files(connection, user, new.files, asked.values())
    known = found or _begun(connection, user, kind, new, asked)
    turn_id = add_turn(connection, known.id, new.question, new.context, attached, first=found is None)
    sides = dict(known.sides)
    for pane, setup in asked.items():
        turn = Turn(question=new.question, context=new.context, files=attached, setup=setup)
        add_answer(connection, turn_id, pane, turn)
        sides[pane] = Side(turns=(*sides[pane].turns, turn))
    if found is not None:
        mark_as_changed(connection, known.id)
    return replace(known, sides=sides, versions={**known.versions, **dict.fromkeys(asked, (1, 1))})


def _begun(
    connection: sa.Connection, user: str, kind: Kind, new: NewQuestion, asked: Collection[str]
) -> Conversation:
    """A new conversation, still without a turn."""
    return Conversation(
        id=add_conversation(connection, user, kind, new.question, hidden=new.hidden),
        kind=kind,
        title=as_title(new.question),
        pinned=False,
        hidden=new.hidden,
        sides=dict.fromkeys(panes_of(kind, asked), Side()),
        marks={},
        votes={},
    )


def panes_of(kind: Kind, answered: Collection[str]) -> list[str]:
    """The panes of a conversation that has answers in those `answered`."""
    return [pane for at, pane in enumerate(PANES[kind]) if at < FEWEST[kind] or pane in answered]


def _asked_panes(found: Conversation | None, setups: Mapping[str, Setup]) -> Mapping[str, Setup]:
    """Who is asked in each pane: in a conversation that has begun, all of its panes and no other."""
    if found is None:
        return setups
    before = {pane: side.last.setup for pane, side in found.sides.items() if side.last}
    return {pane: setups.get(pane) or before[pane] for pane in found.sides if {pane} & {*setups, *before}}


def _of(user: str, kind: Kind) -> sa.ColumnElement[bool]:
    table = conversations.c
    return (table.user_id == user) & (table.kind == kind) & table.deleted.is_(None)


def find_conversation(
    connection: sa.Connection, user: str, conversation_id: str, *, lock: bool = False
) -> Conversation | None:
    """One of the user's; None for one that is not theirs, or deleted. `lock`: others wait to change it, and
    answers whose process is gone are settled."""
    table = conversations.c
    mine = (table.id == conversation_id) & (table.user_id == user) & table.deleted.is_(None)
    if lock:
        # The first write of a transaction is what makes the next tab wait, on SQLite as on PostgreSQL.
        connection.execute(sa.update(conversations).where(mine).values(updated=table.updated))
    of_share = sa.select(shares.c.id).where(shares.c.conversation_id == conversation_id).scalar_subquery()
    row = connection.execute(sa.select(conversations, of_share.label("share")).where(mine)).one_or_none()
    if row is None:
        return None
    if lock:
        give_up_abandoned(connection, conversation_id)
    given: dict[tuple[str, int], sa.Row[Any]] = {}
    counted: Counter[tuple[str, int]] = Counter()
    for answer in connection.execute(_answers_of(conversation_id)):
        given[answer.pane, answer.position] = answer  # the chosen version comes last, else the newest
        counted[answer.pane, answer.position] += 1
    sides = {
        pane: Side(turns=tuple(turn_of(found) for (at, _), found in given.items() if at == pane))
        for pane in panes_of(row.kind, {pane for pane, _ in given})
    }
    last = {pane: (pane, position) for pane, position in given}
    return Conversation(
        id=row.id,
        kind=row.kind,
        title=row.title,
        pinned=row.pinned,
        hidden=row.hidden,
        sides=sides,
        marks={found.id: mark_of(found.mark) for found in given.values() if found.mark},
        votes=_votes_of(connection, conversation_id),
        share=row.share,
        folder=row.folder_id,
        versions={pane: (given[key].version, counted[key]) for pane, key in last.items()},
    )


def _votes_of(connection: sa.Connection, conversation_id: str) -> dict[str, ComparisonChoice]:
    """By the id of the answers (`comparison_votes`)."""
    cast = connection.execute(sa.select(votes).where(votes.c.conversation_id == conversation_id))
    return {vote.id: vote.choice for vote in cast}


def _must_get(connection: sa.Connection, user: str, conversation_id: str) -> Conversation:
    found = find_conversation(connection, user, conversation_id)
    assert found is not None
    return found


def _answers_of(conversation_id: str) -> sa.Select[Any]:
    return (
        sa.select(answers, *ASKED, turns.c.position)
        .join(turns, turns.c.id == answers.c.turn_id)
        .where(turns.c.conversation_id == conversation_id, turns.c.withdrawn.is_(False))
        .order_by(turns.c.position, answers.c.chosen, answers.c.version)
    )


def _take_turn(connection: sa.Connection, kept: Conversation, number: int) -> None:
    there = {pane: side.turns[number] for pane, side in kept.sides.items() if number < len(side.turns)}
    first = next(iter(there.values()))
    turn_id = add_turn(connection, kept.id, first.question, first.context)
    for pane, turn in there.items():
        settled = turn.model_copy(update={"state": "stopped"}) if turn.state == "running" else turn
        add_answer(connection, turn_id, pane, settled, kept.marks.get(turn.id))
