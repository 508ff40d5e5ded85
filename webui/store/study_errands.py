"""What is still to do for studies: answers to fetch and judgements to send to the gateway.

Each errand is leased to one process at a time. One that is killed in the middle holds its errands for no
longer than LEASE; then any process does them.
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from webui.conversation import Turn
from webui.store.conversation_rows import answer_values
from webui.store.opening import PageDatabase
from webui.store.studies import find_study, in_utc, prompt_of, study_turn
from webui.store.tables import studies, study_answers, study_prompts, study_tasks
from webui.study.plan import Study, StudyPrompt, TaskJudgement, shown_order

LEASE = timedelta(seconds=8)
MOST_ATTEMPTS = 5
"""Failed answers of one model to one prompt, before an administrator has to look at it."""


@dataclass(frozen=True, slots=True)
class AnswerErrand:
    """An answer to fetch."""

    holder: str
    attempts: int
    turn: Turn
    """Open, with its question and settings."""


@dataclass(frozen=True, slots=True)
class JudgementErrand:
    """A judgement to send."""

    task: str
    version: int
    attempts: int
    rater: str
    study: Study
    prompt: StudyPrompt
    answers: tuple[Turn, ...]
    """In the order in which the rater saw them."""
    judgement: TaskJudgement


class StudyErrands:
    """Every method raises StoreFailed when the database does."""

    def __init__(self, database: PageDatabase) -> None:
        self._database = database

    async def answers_to_fetch(self, most: int) -> list[AnswerErrand]:
        """At most `most` answers that nobody fetches; they are this caller's now."""
        table, now = study_answers.c, datetime.now(UTC)
        waiting = (table.state == "running") & (table.due <= now) & _of_open_study(table.study_id)

        def work(connection: sa.Connection) -> list[AnswerErrand]:
            query = sa.select(table.id).where(waiting).order_by(table.due, table.position).limit(most)
            mine = []
            for answer_id in connection.scalars(query).all():
                holder = str(uuid.uuid4())
                lease = {"holder": holder, "due": now + LEASE}
                # Whoever was faster has moved its time: then this changes nothing.
                taken = sa.update(study_answers).where(waiting, table.id == answer_id).values(lease)
                if connection.execute(taken).rowcount:
                    mine.append(_answer_errand(connection, answer_id))
            return mine

        return await self._database.run(work)

    async def still_fetching(self, errand: AnswerErrand) -> bool:
        """Hold an answer for longer; False where it is not this caller's any more."""
        return await self._change_answer(errand, due=datetime.now(UTC) + LEASE)

    async def fetched(self, errand: AnswerErrand, turn: Turn) -> bool:
        """Keep a whole answer; False where it was not this caller's any more."""
        return await self._change_answer(errand, holder=None, **answer_values(turn))

    async def not_fetched(self, errand: AnswerErrand, turn: Turn, wait: timedelta, *, counts: bool) -> bool:
        """Try again after `wait`. `counts`: of those that count only MOST_ATTEMPTS are made."""
        attempts = errand.attempts + counts
        state = "failed" if attempts >= MOST_ATTEMPTS else "running"
        kept = answer_values(turn) | {"answer": "", "state": state}
        due = datetime.now(UTC) + wait
        return await self._change_answer(errand, holder=None, attempts=attempts, due=due, **kept)

    async def fetch_failed_again(self, study_id: str) -> None:
        """Ask anew for the answers that were given up."""
        failed = (study_answers.c.study_id == study_id) & (study_answers.c.state == "failed")
        again = {"state": "running", "attempts": 0, "due": datetime.now(UTC)}
        wished = sa.update(study_answers).where(failed).values(again)
        await self._database.run(lambda connection: connection.execute(wished))

    async def judgements_to_send(self, most: int) -> list[JudgementErrand]:
        """At most `most` judgements that the gateway has not as they are now and nobody sends."""
        table, now = study_tasks.c, datetime.now(UTC)

        def work(connection: sa.Connection) -> list[JudgementErrand]:
            query = sa.select(table.id).where(table.send_due <= now).order_by(table.send_due).limit(most)
            mine = []
            for task_id in connection.scalars(query).all():
                this = (table.id == task_id) & (table.send_due <= now)
                taken = sa.update(study_tasks).where(this).values(send_due=now + LEASE)
                if connection.execute(taken).rowcount:
                    mine.append(_judgement_errand(connection, task_id))
            return mine

        return await self._database.run(work)

    async def sent(self, errand: JudgementErrand) -> None:
        """The gateway has it. One that has changed meanwhile is to be sent again, unless it is forgotten."""
        this = study_tasks.c.id == errand.task
        same = this & (study_tasks.c.version == errand.version)
        values = {"sent": errand.version, "attempts": 0}

        def work(connection: sa.Connection) -> None:
            kept = sa.update(study_tasks).where(same).values(**values, send_due=None)
            if connection.execute(kept).rowcount == 0:
                still = sa.update(study_tasks).where(this, study_tasks.c.judged.is_not(None))
                connection.execute(still.values(**values, send_due=datetime.now(UTC)))

        await self._database.run(work)

    async def not_sent(self, errand: JudgementErrand, wait: timedelta) -> None:
        """Try again after `wait`."""
        values = {"attempts": errand.attempts + 1, "send_due": datetime.now(UTC) + wait}
        this = (study_tasks.c.id == errand.task) & study_tasks.c.judged.is_not(None)
        changed = sa.update(study_tasks).where(this).values(values)
        await self._database.run(lambda connection: connection.execute(changed))

    async def next_answer(self) -> datetime | None:
        """When the next answer is to be fetched; None where none is."""
        table = study_answers.c
        waiting = (table.state == "running") & _of_open_study(table.study_id)
        return await self._earliest(sa.select(sa.func.min(table.due)).where(waiting))

    async def next_judgement(self) -> datetime | None:
        """When the next judgement is to be sent; None where none is."""
        return await self._earliest(sa.select(sa.func.min(study_tasks.c.send_due)))

    async def _earliest(self, query: sa.Select[Any]) -> datetime | None:
        found = await self._database.run(lambda connection: connection.scalar(query))
        return in_utc(found) if found is not None else None

    async def _change_answer(self, errand: AnswerErrand, **values: Any) -> bool:
        mine = (study_answers.c.id == errand.turn.id) & (study_answers.c.holder == errand.holder)
        changed = sa.update(study_answers).where(mine).values(**values)
        return await self._database.run(lambda connection: connection.execute(changed).rowcount > 0)


def _of_open_study(study_id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    return study_id.in_(sa.select(studies.c.id).where(studies.c.open))


def _found(connection: sa.Connection, study_id: str, position: int) -> tuple[Study, StudyPrompt]:
    study = find_study(connection, study_id)
    assert study is not None
    table = study_prompts.c
    query = sa.select(study_prompts).where(table.study_id == study_id, table.position == position)
    return study, prompt_of(connection.execute(query).one())


def _answer_errand(connection: sa.Connection, answer_id: str) -> AnswerErrand:
    row = connection.execute(sa.select(study_answers).where(study_answers.c.id == answer_id)).one()
    study, prompt = _found(connection, row.study_id, row.position)
    turn = Turn(id=row.id, question=prompt.message, setup=study.setups[row.number])
    return AnswerErrand(row.holder, row.attempts, turn)


def _judgement_errand(connection: sa.Connection, task_id: str) -> JudgementErrand:
    row = connection.execute(sa.select(study_tasks).where(study_tasks.c.id == task_id)).one()
    study, prompt = _found(connection, row.study_id, row.position)
    table = study_answers.c
    kept = sa.select(study_answers).where(table.study_id == study.id, table.position == row.position)
    given = {one.number: study_turn(one, study, prompt.message) for one in connection.execute(kept)}
    order = shown_order(study.id, row.position, row.user_id, len(study.setups))
    return JudgementErrand(
        task=row.id,
        version=row.version,
        attempts=row.attempts,
        rater=row.rater_id,
        study=study,
        prompt=prompt,
        answers=tuple(given[number] for number in order),
        judgement=TaskJudgement.model_validate(row.judgement),
    )
