"""Who judges what: each judgement that a study wishes for is one record, which one rater at a time holds.

There are as many records for a prompt as raters are wished for, so that no prompt is judged more often. A
rater holds a task under a lease; one who leaves it, or does nothing for LEASE, gives it to others.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa

from webui.store.opening import PageDatabase
from webui.store.studies import (
    find_study,
    in_utc,
    progress_of,
    prompt_of,
    study_turn,
)
from webui.store.tables import study_answers, study_prompts, study_tasks
from webui.study.plan import Study, StudyProgress, Task, TaskJudgement, next_position, shown_order

LEASE = timedelta(minutes=5)
"""How long a task stays with a rater who does nothing."""
Nothing = Literal["closed", "done", "preparing", "taken", "failed"]
"""Why a rater gets no task: the study is closed; all is judged; the answers do not exist yet; others hold
what is left; what is left has no answers and will get none."""
Refusal = Literal["closed", "taken", "unfit", "gone"]
"""Why a judgement is not kept; `taken`: others have judged the prompt meanwhile, as often as was wished."""

_tasks = study_tasks.c


class StudyTasks:
    """Gives tasks to raters and keeps what they say. Every method raises StoreFailed."""

    def __init__(self, database: PageDatabase) -> None:
        self._database = database

    async def take(self, study_id: str, user: str, rater: str) -> Task | Nothing | None:
        """The task that the user holds, else a new one; None where there is no such study. `rater` is the
        user's name at the gateway."""
        now = datetime.now(UTC)

        def work(connection: sa.Connection) -> Task | Nothing | None:
            study = find_study(connection, study_id, lock=True)
            if study is None or not study.open:
                return None if study is None else "closed"
            held = sa.select(_tasks.id).where(
                _tasks.study_id == study_id, _tasks.user_id == user, _tasks.judged.is_(None)
            )
            task_id = connection.scalar(held)
            if task_id is None:
                position = next_position(_free(connection, study_id, user, now), study_id, user)
                if position is None:
                    return _why_nothing(connection, study_id, user)
                task_id = _free_slot(connection, study_id, position, now)
                taken = {"user_id": user, "rater_id": rater, "shown": now}
                _set(connection, task_id, **taken)
            _set(connection, task_id, due=now + LEASE)
            return _task(connection, study, task_id, user)

        return await self._database.run(work)

    async def last(self, study_id: str, user: str) -> Task | None:
        """What the user has judged last."""

        def work(connection: sa.Connection) -> Task | None:
            study = find_study(connection, study_id)
            query = (
                sa.select(_tasks.id)
                .where(_tasks.study_id == study_id, _tasks.user_id == user, _tasks.judged.is_not(None))
                .order_by(_tasks.judged.desc(), _tasks.id)
                .limit(1)
            )
            task_id = connection.scalar(query)
            return _task(connection, study, task_id, user) if study and task_id else None

        return await self._database.run(work)

    async def judge(
        self, task_id: str, user: str, rater: str, judgement: TaskJudgement, seconds: float
    ) -> Study | Refusal:
        """Keep a judgement, or one in the place of the user's earlier one; the same again changes nothing.

        A rater whose lease has run out still counts while another judgement of the prompt is free.
        """
        now = datetime.now(UTC)

        def work(connection: sa.Connection) -> Study | Refusal:
            study_id = connection.scalar(sa.select(_tasks.study_id).where(_tasks.id == task_id))
            study = find_study(connection, study_id, lock=True) if study_id else None
            if study is None or not judgement.fits(study):
                return "gone" if study is None else "unfit"
            row = _mine(connection, task_id, user, now)
            if row is None:
                return "taken"
            if row.judged is None and not study.open:
                return "closed"
            if row.judged is None or row.judgement != judgement.model_dump(mode="json"):
                _keep(connection, row, user, rater, judgement, seconds, now)
            return study

        return await self._database.run(work)

    async def hold(self, task_id: str, user: str) -> None:
        """The rater is still at it."""
        await self._change_held(task_id, user, due=datetime.now(UTC) + LEASE)

    async def leave(self, task_id: str, user: str) -> None:
        """Give a task back that is not judged."""
        await self._change_held(task_id, user, user_id=None, rater_id=None, due=None, shown=None)

    async def progress(self, study_id: str, user: str) -> StudyProgress:
        """How far a study is."""
        return await self._database.run(lambda connection: progress_of(connection, study_id, user))

    async def _change_held(self, task_id: str, user: str, **values: Any) -> None:
        held = (_tasks.id == task_id) & (_tasks.user_id == user) & _tasks.judged.is_(None)
        changed = sa.update(study_tasks).where(held).values(**values)
        await self._database.run(lambda connection: connection.execute(changed))


def _is_free(now: datetime) -> sa.ColumnElement[bool]:
    return _tasks.judged.is_(None) & (_tasks.user_id.is_(None) | (_tasks.due < now))


def _without_mine(study_id: str, user: str) -> sa.ColumnElement[bool]:
    mine = sa.select(_tasks.position).where(_tasks.study_id == study_id, _tasks.user_id == user)
    return (_tasks.study_id == study_id) & _tasks.position.not_in(mine)


def _with_answers(study_id: str, states: tuple[str, ...]) -> sa.ColumnElement[bool]:
    """Positions of which every answer is in one of `states`."""
    table = study_answers.c
    others = sa.select(table.position).where(table.study_id == study_id, table.state.not_in(states))
    return _tasks.position.not_in(others)


def _free(connection: sa.Connection, study_id: str, user: str, now: datetime) -> dict[int, int]:
    """Position -> free judgements, of prompts that the user may judge now."""
    query = (
        sa.select(_tasks.position, sa.func.count())
        .where(_without_mine(study_id, user), _is_free(now), _with_answers(study_id, ("done",)))
        .group_by(_tasks.position)
    )
    return {position: int(count) for position, count in connection.execute(query)}


def _free_slot(connection: sa.Connection, study_id: str, position: int, now: datetime) -> str:
    there = (_tasks.study_id == study_id) & (_tasks.position == position)
    query = sa.select(_tasks.id).where(there, _is_free(now)).order_by(_tasks.slot).limit(1)
    return str(connection.scalar(query))


def _why_nothing(connection: sa.Connection, study_id: str, user: str) -> Nothing:
    left = sa.select(_tasks.id).where(_without_mine(study_id, user), _tasks.judged.is_(None)).limit(1)
    if connection.scalar(left) is None:
        return "done"
    if connection.scalar(left.where(_with_answers(study_id, ("done",)))) is not None:
        return "taken"
    if connection.scalar(left.where(_with_answers(study_id, ("done", "running")))) is not None:
        return "preparing"
    return "failed"


def _mine(connection: sa.Connection, task_id: str, user: str, now: datetime) -> sa.Row[Any] | None:
    """The user's record for the prompt of a task; one that is free where another holds that task now."""
    row = connection.execute(sa.select(study_tasks).where(_tasks.id == task_id)).one()
    if row.user_id == user:
        return row
    there = (_tasks.study_id == row.study_id) & (_tasks.position == row.position)
    query = sa.select(study_tasks).where(there)
    mine = connection.execute(query.where(_tasks.user_id == user)).first()
    return mine or connection.execute(query.where(_is_free(now)).order_by(_tasks.slot).limit(1)).first()


def _keep(
    connection: sa.Connection,
    row: sa.Row[Any],
    user: str,
    rater: str,
    judgement: TaskJudgement,
    seconds: float,
    now: datetime,
) -> None:
    first = row.judged is None
    took = {"judged": now, "seconds": _took_s(row, user, seconds, now)} if first else {}
    _set(
        connection,
        row.id,
        user_id=user,
        rater_id=rater,
        judgement=judgement.model_dump(mode="json"),
        version=row.version + 1,
        # What is being sent right now is waited for, so that the newer word arrives last.
        send_due=now if row.send_due is None else row.send_due,
        **took,
    )


def _took_s(row: sa.Row[Any], user: str, told_s: float, now: datetime) -> float | None:
    """How long a rater took: no longer than they had the task. None where nobody knows since when they have
    seen the prompt: others have had their task meanwhile."""
    if row.user_id != user or row.shown is None:
        return None
    had_s = (now - in_utc(row.shown)).total_seconds()
    return min(told_s, had_s) if had_s >= 0 else told_s  # the clock was set back


def _set(connection: sa.Connection, task_id: str, **values: Any) -> None:
    connection.execute(sa.update(study_tasks).where(_tasks.id == task_id).values(**values))


def _task(connection: sa.Connection, study: Study, task_id: str, user: str) -> Task:
    row = connection.execute(sa.select(study_tasks).where(_tasks.id == task_id)).one()
    at = row.position
    prompts, answers = study_prompts.c, study_answers.c
    found = sa.select(study_prompts).where(prompts.study_id == study.id, prompts.position == at)
    prompt = prompt_of(connection.execute(found).one())
    kept = sa.select(study_answers).where(answers.study_id == study.id, answers.position == at)
    given = {one.number: study_turn(one, study, prompt.message) for one in connection.execute(kept)}
    order = shown_order(study.id, at, user, len(study.setups))
    return Task(
        id=task_id,
        study=study,
        position=at,
        prompt=prompt,
        answers=tuple(given[number] for number in order),
        judgement=TaskJudgement.model_validate(row.judgement) if row.judgement else None,
    )
