"""Studies in the store: who gets which task, and that each prompt is judged as often as was wished."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from common.database import StoreFailed
from tests.support.studies import answer_all, make_study, page_store, rate_to_the_end, take
from webui.store import study_errands, study_tasks, tables
from webui.store.page_store import PageStore
from webui.study.figures import study_figures, winner
from webui.study.plan import Study, StudyProgress, TaskJudgement, next_position, shown_order

LEFT, RIGHT, TIE = TaskJudgement(choice="left"), TaskJudgement(choice="right"), TaskJudgement(choice="tie")


async def test_ten_raters_in_two_processes_judge_each_prompt_exactly_as_often_as_wished(
    tmp_path: Path,
) -> None:
    await raters_at_once(tmp_path, None)


async def test_the_same_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    await raters_at_once(tmp_path, postgres_url)


async def raters_at_once(folder: Path, url: str | None) -> None:
    """Each user is in both processes at once, as with two tabs."""
    async with page_store(folder, url) as one, page_store(folder, url) as other:
        study = await make_study(one, prompts=20, raters=3)
        await answer_all(one)
        users = [f"user-{number}" for number in range(10)]
        await asyncio.gather(
            *[rate_to_the_end(store, study, user, LEFT) for user in users for store in (one, other)]
        )
        judged = await other.studies.judgements(study)
        await send_all(other)
        assert all(one.sent for one in await other.studies.judgements(study))
    assert Counter(one.position for one in judged) == dict.fromkeys(range(20), 3)
    assert len({(one.position, one.user) for one in judged}) == len({one.task for one in judged}) == 60


async def send_all(store: PageStore) -> None:
    """The gateway has taken everything."""
    while errands := await store.study_errands.judgements_to_send(50):
        for errand in errands:
            await store.study_errands.sent(errand)


async def test_who_is_shown_a_task_keeps_it_and_others_get_another(tmp_path: Path) -> None:
    async with page_store(tmp_path) as store:
        study = await make_study(store, prompts=2, raters=1)
        await answer_all(store)
        mine = await take(store, study, "anna")
        assert (await take(store, study, "anna")).id == mine.id
        theirs = await take(store, study, "ben")
        assert theirs.position != mine.position
        assert await store.study_tasks.take(study, "carl", "r") == "taken"
        await store.study_tasks.leave(mine.id, "anna")
        assert (await take(store, study, "carl")).id == mine.id
        await store.study_tasks.judge(theirs.id, "ben", "r", LEFT, 1.0)
        assert await store.study_tasks.take(study, "ben", "r") == "taken"


async def test_a_rater_who_does_nothing_gives_the_task_back_and_still_counts_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_tasks, "LEASE", timedelta(seconds=-1))
    async with page_store(tmp_path) as store:
        study = await make_study(store, prompts=1, raters=2)
        await answer_all(store)
        slow = await take(store, study, "slow")
        quick = await take(store, study, "quick")
        assert quick.id == slow.id  # its lease has run out
        await store.study_tasks.judge(quick.id, "quick", "q", LEFT, 1.0)
        assert isinstance(await store.study_tasks.judge(slow.id, "slow", "s", RIGHT, 1.0), Study)
        assert await store.study_tasks.judge(slow.id, "third", "t", TIE, 1.0) == "taken"
        judged = {one.user: one for one in await store.studies.judgements(study)}
        assert judged.keys() == {"quick", "slow"}
        assert judged["slow"].seconds is None  # since when it was seen, nobody knows any more


async def test_others_write_while_a_large_study_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui.store.studies.AT_ONCE", 3)
    async with page_store(tmp_path) as store:
        pieces: list[list[object]] = []
        run = store._database.run

        async def between(work: Callable[[sa.Connection], Any]) -> Any:
            pieces.append([one.study.name for one in await store_of_others.studies.overviews("u")])
            await store_of_others.users.set("u", "theme", len(pieces))
            return await run(work)

        async with page_store(tmp_path) as store_of_others:
            monkeypatch.setattr(store._database, "run", between)
            study = await make_study(store, prompts=4, raters=3)
            assert await store_of_others.studies.find(study) is not None
        assert len(pieces) > 8
        assert not any(pieces)  # nobody sees half a study
        await answer_all(store)
        assert await rate_to_the_end(store, study, "anna", LEFT) == 4


async def test_of_a_study_that_the_disk_does_not_take_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui.store.studies.AT_ONCE", 100)
    async with page_store(tmp_path) as store:
        await make_study(store, prompts=1, raters=1)

        def rows(connection: sa.Connection) -> int:
            return sum(
                connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
                for table in (tables.study_prompts, tables.study_answers, tables.study_tasks)
            )

        def fill(connection: sa.Connection) -> None:
            pages = connection.scalar(sa.text("PRAGMA page_count"))
            connection.execute(sa.text(f"PRAGMA max_page_count={pages + 40}"))

        before = await store._database.run(rows)
        await store._database.run(fill)
        with pytest.raises(StoreFailed):
            await make_study(store, prompts=500, raters=20)
        assert await store._database.run(rows) == before


async def test_a_clock_that_is_set_back_makes_no_time_negative(tmp_path: Path) -> None:
    async with page_store(tmp_path) as store:
        study = await make_study(store, prompts=1, raters=1)
        await answer_all(store)
        task = await take(store, study, "anna")
        later = datetime.now(UTC) + timedelta(hours=1)
        await store._database.run(lambda c: c.execute(sa.update(tables.study_tasks).values(shown=later)))
        await store.study_tasks.judge(task.id, "anna", "r", LEFT, 4.0)
        (judged,) = await store.studies.judgements(study)
        assert judged.seconds == 4.0


async def test_a_judgement_counts_once_and_can_be_corrected(tmp_path: Path) -> None:
    async with page_store(tmp_path) as store:
        study = await make_study(store, prompts=2, raters=1)
        await answer_all(store)
        task = await take(store, study, "anna")
        for said in (LEFT, LEFT, RIGHT):
            await store.study_tasks.judge(task.id, "anna", "r", said, 1.0)
        last = await store.study_tasks.last(study, "anna")
        assert last is not None
        assert (last.id, last.judgement) == (task.id, RIGHT)
        (errand,) = await store.study_errands.judgements_to_send(10)
        assert (errand.version, errand.judgement) == (2, RIGHT)
        assert await store.study_tasks.progress(study, "anna") == StudyProgress(1, 1, 2)


async def test_a_correction_is_sent_after_what_is_being_sent(tmp_path: Path) -> None:
    async with page_store(tmp_path) as store:
        study = await make_study(store, prompts=1, raters=1)
        await answer_all(store)
        task = await take(store, study, "anna")
        await store.study_tasks.judge(task.id, "anna", "r", LEFT, 1.0)
        (first,) = await store.study_errands.judgements_to_send(10)
        await store.study_tasks.judge(task.id, "anna", "r", RIGHT, 1.0)
        assert await store.study_errands.judgements_to_send(10) == []  # the first is on its way
        await store.study_errands.sent(first)
        (second,) = await store.study_errands.judgements_to_send(10)
        await store.study_errands.sent(second)
        assert second.judgement == RIGHT
        assert await store.study_errands.next_judgement() is None
        (kept,) = await store.studies.judgements(study)
        assert kept.sent


async def test_what_a_killed_process_fetched_is_fetched_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with page_store(tmp_path) as store:
        await make_study(store, prompts=2)
        monkeypatch.setattr(study_errands, "LEASE", timedelta(seconds=-1))
        lost = await store.study_errands.answers_to_fetch(4)
        monkeypatch.undo()
        found = await store.study_errands.answers_to_fetch(4)
        assert {one.turn.id for one in lost} == {one.turn.id for one in found}
        assert await store.study_errands.answers_to_fetch(4) == []
        assert not await store.study_errands.fetched(lost[0], lost[0].turn)


async def test_a_prompt_is_shown_when_all_its_answers_are_there_and_failed_ones_are_told(
    tmp_path: Path,
) -> None:
    async with page_store(tmp_path) as store:
        study = await make_study(store, prompts=1)
        assert await store.study_tasks.take(study, "anna", "r") == "preparing"
        for _ in range(study_errands.MOST_ATTEMPTS):
            for errand in await store.study_errands.answers_to_fetch(10):
                await store.study_errands.not_fetched(errand, errand.turn, timedelta(0), counts=True)
        assert await store.study_tasks.take(study, "anna", "r") == "failed"
        await store.study_errands.fetch_failed_again(study)
        await answer_all(store)
        task = await take(store, study, "anna")
        assert {turn.answer for turn in task.answers} == {"base의 답", "dolly의 답"}
        await store.studies.set_open(study, is_open=False)
        assert await store.study_tasks.take(study, "anna", "r") == "closed"
        assert await store.study_tasks.judge(task.id, "anna", "r", LEFT, 1.0) == "closed"


async def test_votes_are_for_models_wherever_their_answers_stood(tmp_path: Path) -> None:
    async with page_store(tmp_path) as store:
        study_id = await make_study(store, prompts=8, raters=2)
        await answer_all(store)
        study = await store.studies.find(study_id)
        assert study is not None
        for user in ("anna", "ben"):
            for _ in range(8):
                task = await take(store, study_id, user)
                on_the_left = task.answers[0].setup.model == "dolly"
                await store.study_tasks.judge(task.id, user, user, LEFT if on_the_left else RIGHT, 2.0)
        judged = await store.studies.judgements(study_id)
    assert {winner(study, one) for one in judged} == {1}
    assert {one.judgement.choice for one in judged} == {"left", "right"}  # the order is drawn
    figures = study_figures(study, judged)
    assert [model.wins for model in figures.models] == [0, 16]
    assert figures.agreement is None  # everybody always said the same
    assert [rater.judged for rater in figures.raters] == [8, 8]


@given(st.dictionaries(st.integers(0, 50), st.integers(1, 5), min_size=1), st.text(), st.text())
def test_what_others_have_begun_comes_first(free: dict[int, int], study: str, user: str) -> None:
    position = next_position(free, study, user)
    assert position is not None
    assert free[position] == min(free.values())


@given(st.text(), st.integers(0, 100), st.text(), st.integers(1, 6))
def test_every_model_has_one_place(study: str, position: int, user: str, models: int) -> None:
    order = shown_order(study, position, user, models)
    assert sorted(order) == list(range(models))
    assert order == shown_order(study, position, user, models)
