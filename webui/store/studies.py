"""Studies and their prompts. Every method raises StoreFailed when the database does."""

import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any

import sqlalchemy as sa

from common.database import StoreFailed
from webui.conversation import Setup, Turn, dump
from webui.store.conversation_rows import answer_values, as_title
from webui.store.opening import PageDatabase
from webui.store.tables import studies, study_answers, study_prompts, study_tasks
from webui.study.plan import Study, StudyKind, StudyProgress, StudyPrompt, TaskJudgement

AT_ONCE = 1000
"""Rows of a new study in one transaction: others may write between two."""


@dataclass(frozen=True, slots=True)
class NewStudy:
    """What a study is made of."""

    name: str
    kind: StudyKind
    setups: tuple[Setup, ...]
    raters: int
    blind: bool
    prompts: tuple[StudyPrompt, ...]


@dataclass(frozen=True, slots=True)
class GivenAnswers:
    """How far a study's answers have come."""

    ready: int
    failed: int
    total: int


@dataclass(frozen=True, slots=True)
class StudyOverview:
    """One study in the list of a user's."""

    study: Study
    progress: StudyProgress
    prompts: int
    answers: GivenAnswers


@dataclass(frozen=True, slots=True)
class Judged:
    """One judgement with all that it is about."""

    task: str
    position: int
    prompt: StudyPrompt
    user: str
    rater: str
    judged: datetime
    seconds: float | None
    judgement: TaskJudgement
    sent: bool
    """The gateway has it as it is now."""


class Studies:
    """Makes studies and tells what has become of them."""

    def __init__(self, database: PageDatabase) -> None:
        self._database = database

    async def make(self, new: NewStudy) -> str:
        """Keep a new study with a task for each judgement and a wish for each answer; returns its id.

        Half a million tasks take many seconds, in which nobody else could write: they are kept in pieces, and
        the study's own record comes last, so that nobody sees half of one.
        """
        study_id, now = str(uuid.uuid4()), datetime.now(UTC)
        try:
            await self._add_rows(study_id, new, now)
        except StoreFailed:
            with suppress(StoreFailed):  # a full disk may take even this back
                await self._database.run(partial(_delete_rows, study_id=study_id))
            raise
        return study_id

    async def _add_rows(self, study_id: str, new: NewStudy, now: datetime) -> None:
        for table, rows in (
            (study_prompts, _prompt_rows(study_id, new)),
            (study_answers, _answer_rows(study_id, new, now)),
            (study_tasks, _task_rows(study_id, new)),
            (studies, iter([_study_row(study_id, new, now)])),
        ):
            while await self._database.run(partial(_insert_some, table=table, rows=rows)):
                pass

    async def find(self, study_id: str) -> Study | None:
        """One study."""
        return await self._database.run(lambda connection: find_study(connection, study_id))

    async def overviews(self, user: str) -> list[StudyOverview]:
        """All studies, the newest first, as `user` stands in them."""

        def work(connection: sa.Connection) -> list[StudyOverview]:
            rows = connection.execute(sa.select(studies).order_by(studies.c.created.desc()))
            return [_overview(connection, study_of(row), user) for row in rows.all()]

        return await self._database.run(work)

    async def set_open(self, study_id: str, *, is_open: bool) -> bool:
        """Close or open a study; False where there is none."""
        changed = sa.update(studies).where(studies.c.id == study_id).values(open=is_open)
        return await self._database.run(lambda connection: connection.execute(changed).rowcount > 0)

    async def answers(self, study_id: str) -> dict[tuple[int, int], Turn]:
        """Every answer of a study by position and number of the model, as far as it came."""

        def work(connection: sa.Connection) -> dict[tuple[int, int], Turn]:
            study = find_study(connection, study_id)
            if study is None:
                return {}
            prompts = _prompts(connection, study_id)
            rows = connection.execute(sa.select(study_answers).where(study_answers.c.study_id == study_id))
            return {
                (row.position, row.number): study_turn(row, study, prompts[row.position].message)
                for row in rows
            }

        return await self._database.run(work)

    async def judgements(self, study_id: str) -> list[Judged]:
        """What raters have said, prompt by prompt."""

        def work(connection: sa.Connection) -> list[Judged]:
            prompts = _prompts(connection, study_id)
            table = study_tasks.c
            query = sa.select(study_tasks).where(table.study_id == study_id, table.judged.is_not(None))
            rows = connection.execute(query.order_by(table.position, table.judged))
            return [_judged(row, prompts[row.position]) for row in rows]

        return await self._database.run(work)


def find_study(connection: sa.Connection, study_id: str, *, lock: bool = False) -> Study | None:
    """One study. `lock`: others wait to change its tasks."""
    mine = studies.c.id == study_id
    if lock:
        # The first write of a transaction is what makes others wait, on SQLite as on PostgreSQL.
        connection.execute(sa.update(studies).where(mine).values(created=studies.c.created))
    row = connection.execute(sa.select(studies).where(mine)).one_or_none()
    return study_of(row) if row is not None else None


def progress_of(connection: sa.Connection, study_id: str, user: str) -> StudyProgress:
    """How many judgements of a study are done, by everybody and by `user`."""
    table = study_tasks.c
    judged = table.judged.is_not(None)
    row = connection.execute(
        sa.select(
            sa.func.count(),
            sa.func.count().filter(judged),
            sa.func.count().filter(judged, table.user_id == user),
        ).where(table.study_id == study_id)
    ).one()
    return StudyProgress(mine=row[2], done=row[1], total=row[0])


def study_of(row: sa.Row[Any]) -> Study:
    """A study as its record has it."""
    return Study(
        id=row.id,
        name=row.name,
        kind=row.kind,
        setups=tuple(Setup.model_validate(one) for one in row.setups),
        raters=row.raters,
        blind=row.blind,
        open=row.open,
        created=in_utc(row.created),
    )


def study_turn(row: sa.Row[Any], study: Study, message: str) -> Turn:
    """An answer as its record has it."""
    known = {"id": row.id, "question": message, "answer": row.answer, "state": row.state}
    return Turn.model_validate({**row.outcome, **known, "setup": study.setups[row.number]})


def prompt_of(row: sa.Row[Any]) -> StudyPrompt:
    """A prompt as its record has it."""
    return StudyPrompt(row.question, row.context, row.category)


def in_utc(moment: datetime) -> datetime:
    """SQLite keeps no time zone; all that we store is UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _prompts(connection: sa.Connection, study_id: str) -> dict[int, StudyPrompt]:
    rows = connection.execute(sa.select(study_prompts).where(study_prompts.c.study_id == study_id))
    return {row.position: prompt_of(row) for row in rows}


def _overview(connection: sa.Connection, study: Study, user: str) -> StudyOverview:
    table = study_answers.c
    states = sa.select(table.state, sa.func.count()).where(table.study_id == study.id).group_by(table.state)
    counts = {state: int(count) for state, count in connection.execute(states)}
    return StudyOverview(
        study=study,
        progress=progress_of(connection, study.id, user),
        prompts=sum(counts.values()) // len(study.setups),
        answers=GivenAnswers(counts.get("done", 0), counts.get("failed", 0), sum(counts.values())),
    )


def _judged(row: sa.Row[Any], prompt: StudyPrompt) -> Judged:
    return Judged(
        task=row.id,
        position=row.position,
        prompt=prompt,
        user=row.user_id,
        rater=row.rater_id,
        judged=in_utc(row.judged),
        seconds=row.seconds,
        judgement=TaskJudgement.model_validate(row.judgement),
        sent=row.sent == row.version,
    )


def _insert_some(connection: sa.Connection, table: sa.Table, rows: Iterator[dict[str, object]]) -> bool:
    """At most AT_ONCE of the rows; whether there may be more."""
    some = list(islice(rows, AT_ONCE))
    if some:
        connection.execute(sa.insert(table), some)
    return len(some) == AT_ONCE


def _delete_rows(connection: sa.Connection, study_id: str) -> None:
    for table in (study_prompts, study_answers, study_tasks):
        connection.execute(sa.delete(table).where(table.c.study_id == study_id))


def _study_row(study_id: str, new: NewStudy, now: datetime) -> dict[str, object]:
    return {
        "id": study_id,
        "name": as_title(new.name),
        "kind": new.kind,
        "setups": [dump(setup) for setup in new.setups],
        "raters": new.raters,
        "blind": new.blind,
        "open": True,
        "created": now,
    }


def _prompt_rows(study_id: str, new: NewStudy) -> Iterator[dict[str, object]]:
    return (
        {
            "study_id": study_id,
            "position": position,
            "question": prompt.question,
            "context": prompt.context,
            "category": prompt.category,
        }
        for position, prompt in enumerate(new.prompts)
    )


def _answer_rows(study_id: str, new: NewStudy, now: datetime) -> Iterator[dict[str, object]]:
    return (
        {
            "id": turn.id,
            "study_id": study_id,
            "position": position,
            "number": number,
            "attempts": 0,
            "due": now,
            **answer_values(turn),
        }
        for position, prompt in enumerate(new.prompts)
        for number, setup in enumerate(new.setups)
        if (turn := Turn(question=prompt.message, setup=setup))
    )


def _task_rows(study_id: str, new: NewStudy) -> Iterator[dict[str, object]]:
    return (
        {
            "id": str(uuid.uuid4()),
            "study_id": study_id,
            "position": position,
            "slot": slot,
            "version": 0,
            "sent": 0,
            "attempts": 0,
        }
        for position in range(len(new.prompts))
        for slot in range(new.raters)
    )
