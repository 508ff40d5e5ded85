"""A web UI's database as an earlier version left it, with rows in it: two new processes open it at once."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command as alembic
from alembic.config import Config

from common.feedback import Sampling
from tests.support.studies import make_study, page_store
from webui.conversation import Setup, dump
from webui.store.opening import SCHEMA

SETUP = Setup(model="dolly", sampling=Sampling(temperature=0.2, top_p=1.0, max_tokens=64))
THEN = datetime(2026, 1, 2, tzinfo=UTC)
ANNA = "anna"


def make_old_pages(path: Path, revision: str) -> None:
    """One chat of one question with two versions of its answer."""
    config = Config()
    config.set_main_option("script_location", str(SCHEMA.migrations))
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.upgrade(config, revision)

        def add(table: str, **row: Any) -> None:
            known = sa.Table(f"webui_{table}", sa.MetaData(), autoload_with=connection)
            connection.execute(sa.insert(known).values(row))

        add("users", id=ANNA, rater_id="r-anna", created=THEN)
        shown = {"kind": "chat", "title": "옛 대화", "pinned": True, "hidden": False, "updated": THEN}
        add("conversations", id="c1", user_id=ANNA, **shown)
        add("turns", id="t1", conversation_id="c1", position=1, question="옛 질문", withdrawn=False)
        for version in (1, 2):
            told = {"answer": f"답 {version}", "state": "done", "outcome": {"finish_reason": "stop"}}
            at = {"turn_id": "t1", "pane": "chat", "version": version, "written": THEN}
            add("answers", id=f"a{version}", setup=dump(SETUP), mark={"thumb": "up"}, **at, **told)
    engine.dispose()


@pytest.mark.parametrize("revision", ["0001", "0002"])
async def test_what_an_earlier_version_kept_is_there_and_can_do_what_is_new(
    tmp_path: Path, revision: str
) -> None:
    make_old_pages(tmp_path / "webui.db", revision)
    async with page_store(tmp_path) as one, page_store(tmp_path) as other:
        found, same = await asyncio.gather(*[store.conversations.get(ANNA, "c1") for store in (one, other)])
        assert found is not None
        assert found == same
        assert (found.title, found.versions, found.share) == ("옛 대화", {"chat": (2, 2)}, None)
        last = found.sides["chat"].last
        assert last is not None
        assert (last.answer, last.context, found.marks[last.id].thumb) == ("답 2", "", "up")
        assert await one.users.rater_id(ANNA) == "r-anna"
        stepped = await one.versions.step(ANNA, "c1", "chat", -1)
        assert stepped is not None
        assert stepped.sides["chat"].turns[-1].answer == "답 1"
        word = await one.shares.share(ANNA, "c1")
        shared = await other.shares.find(word or "")
        assert shared is not None
        assert [turn.answer for turn in shared.sides["chat"].turns] == ["답 1"]
        asked = await other.conversations.ask(ANNA, "chat", "c1", "새 질문", {"chat": SETUP}, context="맥락")
        assert [turn.context for turn in asked.sides["chat"].turns] == ["", "맥락"]
        assert await one.studies.find(await make_study(one, prompts=1)) is not None
