"""Backups hold all that the web UI keeps, and nothing stays of a rater who is forgotten."""

import asyncio
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from common.errors import UserError
from kodolly.cli import root
from kodolly.clients import feedback_pages
from tests.support.studies import SAMPLING, answer_all, make_study, page_store, take
from webui.conversation import Mark, Setup
from webui.store.conversations import PANES
from webui.store.page_store import PageStore
from webui.store.presets import Preset
from webui.store.sessions import LoginSession
from webui.store.tables import metadata, sessions
from webui.study.plan import TaskJudgement

ANNA, BORA = "anna", "bora"
SETUP = Setup(model="m", sampling=SAMPLING)


async def fill(store: PageStore, user: str, study: str) -> str:
    """One of everything that a user can have; returns the user's rater id."""
    rater = await store.users.rater_id(user, f"rater-{user}")
    setups = dict.fromkeys(PANES["compare"], SETUP)
    asked = await store.conversations.ask(user, "compare", None, f"{user}의 질문", setups)
    for side in asked.sides.values():
        done = side.with_last(state="done", answer=f"{user}의 답", finish_reason="stop").turns[-1]
        await store.conversations.write_answer(done)
        await store.opinions.keep(user, done.id, Mark(score=4))
    await store.conversations.vote(user, asked.id, f"pair-{user}", "left")
    await store.shares.share(user, asked.id)
    gone = await store.conversations.ask(user, "chat", None, f"{user}가 지운 질문", {"chat": SETUP})
    await store.conversations.delete(user, gone.id)
    await store.folders.move(user, asked.id, await store.folders.make(user, f"{user}의 폴더"))
    await store.users.set(user, "compare", {"of": user})
    await store.presets.keep(user, user, Preset(system=user, sampling=SAMPLING), shared=True)
    later = datetime.now(UTC) + timedelta(days=1)
    await store.sessions.begin(LoginSession(f"session-{user}", user, user, False, b"", later))
    task = await take(store, study, user)
    await store.study_tasks.judge(task.id, user, rater, TaskJudgement(choice="left"), 2.0)
    return rater


async def filled(store: PageStore) -> str:
    """Two users who have everything; returns the id of a study of one prompt."""
    study = await make_study(store, prompts=1, raters=2)
    await answer_all(store)
    for user in (ANNA, BORA):
        await fill(store, user, study)
    return study


def rows(folder: Path) -> dict[str, list[Any]]:
    """Every row of the store in this folder, by table."""
    with closing(sa.create_engine(f"sqlite:///{folder / 'webui.db'}").connect()) as connection:
        return {
            table.name: sorted(map(repr, connection.execute(table.select())))
            for table in metadata.sorted_tables
        }


async def test_nothing_stays_of_a_rater_who_is_forgotten(tmp_path: Path) -> None:
    async with page_store(tmp_path) as store:
        study = await filled(store)
        before = rows(tmp_path)
        assert all(any(ANNA in row for row in before[name]) for name in ("webui_users", "webui_sessions"))
        gone = await store.users.forget_rater("rater-anna")
        assert (gone.conversations, gone.presets, gone.judgements) == (2, 1, 1)
        after = rows(tmp_path)
        assert not [row for table in after.values() for row in table if ANNA in row]
        for name in before:  # what is left is BORA's: as much as ANNA had
            if "stud" not in name:
                assert len(before[name]) == 2 * len(after[name]), name
        other = await take(store, study, "carl")
        assert other.judgement is None
        assert (await store.users.forget_rater("rater-anna")).conversations == 0


async def test_a_judgement_that_is_on_its_way_does_not_come_back(tmp_path: Path) -> None:
    async with page_store(tmp_path) as store:
        await filled(store)
        errands = await store.study_errands.judgements_to_send(10)
        await store.users.forget_rater("rater-anna")
        for errand in errands:
            await store.study_errands.sent(errand)
            await store.study_errands.not_sent(errand, timedelta())
        again = await store.study_errands.judgements_to_send(10)
        assert {errand.rater for errand in again} == {"rater-bora"}


def in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("KODOLLY_STATE_DIR", str(folder))


async def make(folder: Path) -> None:
    async with page_store(folder) as store:
        await filled(store)


def test_a_backup_brings_all_back_but_logins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(make(tmp_path))
    before = rows(tmp_path)
    in_folder(tmp_path, monkeypatch)
    done = CliRunner().invoke(root, ["backup", "all.backup"])
    assert done.exit_code == 0, done.output
    assert "kodolly.db: none" in done.output
    assert "4 conversations" in done.output
    (tmp_path / "new").mkdir()
    in_folder(tmp_path / "new", monkeypatch)
    done = CliRunner().invoke(root, ["restore", "../all.backup"])
    assert done.exit_code == 0, done.output
    assert rows(tmp_path / "new") == before | {sessions.name: []}
    refused = CliRunner().invoke(root, ["restore", "../all.backup"])
    assert isinstance(refused.exception, UserError)
    assert "not empty" in str(refused.exception)
    assert CliRunner().invoke(root, ["restore", "../all.backup", "--replace"]).exit_code == 0
    assert not (tmp_path / "new" / "kodolly.db").exists()


def test_a_machine_without_a_store_says_where_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_folder(tmp_path, monkeypatch)
    refused = CliRunner().invoke(root, ["backup", "all.backup"])
    assert isinstance(refused.exception, UserError)
    assert "kodolly.db" in str(refused.exception)
    assert "webui.db" in str(refused.exception)
    assert not list(tmp_path.iterdir())


def test_the_command_forgets_in_both_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def at_gateway(gateway: str, rater: str) -> tuple[int, int, int]:
        asked.append(rater)
        return 3, 2, 1

    monkeypatch.setattr(feedback_pages, "forget_rater", at_gateway)
    in_folder(tmp_path, monkeypatch)
    told = CliRunner().invoke(root, ["feedback", "forget", "rater-anna"]).output
    assert "The web UI's store is not here" in told
    assert not list(tmp_path.iterdir())
    asyncio.run(make(tmp_path))
    told = CliRunner().invoke(root, ["feedback", "forget", "rater-anna"]).output
    assert "Deleted: 3 votes, 2 ratings, 1 conversations." in told
    assert "Deleted in the web UI: 2 conversations, 1 presets, 1 judgements of studies." in told
    assert asked == ["rater-anna"] * 2
    assert not [row for table in rows(tmp_path).values() for row in table if ANNA in row]


def test_a_backup_of_sqlite_goes_into_postgresql(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    asyncio.run(make(tmp_path))
    in_folder(tmp_path, monkeypatch)
    assert CliRunner().invoke(root, ["backup", "one.backup"]).exit_code == 0
    monkeypatch.setenv("KODOLLY_WEBUI_DATABASE_URL", postgres_url)
    assert CliRunner().invoke(root, ["restore", "one.backup"]).exit_code == 0
    assert CliRunner().invoke(root, ["backup", "two.backup"]).exit_code == 0
    asyncio.run(forgotten(postgres_url))
    monkeypatch.delenv("KODOLLY_WEBUI_DATABASE_URL")
    before = rows(tmp_path)
    assert CliRunner().invoke(root, ["restore", "two.backup", "--replace"]).exit_code == 0
    assert rows(tmp_path) == before


async def forgotten(url: str) -> None:
    async with page_store(Path(), url) as store:
        assert (await store.users.forget_rater("rater-anna")).judgements == 1
