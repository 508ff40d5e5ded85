"""What the web UI keeps: conversations, their turns and answers, one record each."""

import asyncio
import stat
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from common.database import StoreFailed
from common.errors import UserError
from common.feedback import Sampling
from webui.conversation import Mark, Setup, Side
from webui.store.conversations import PANES, Conversation, Kind, NewQuestion, StillAnswering
from webui.store.page_store import PageStore
from webui.store.tables import answers

SETUP = Setup(model="m", sampling=Sampling(temperature=0.2, top_p=1.0, max_tokens=64))
ANNA, BORA = "anna", "bora"


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[PageStore]:
    store = PageStore(f"sqlite:///{folder / 'state' / 'webui.db'}")
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[PageStore]:
    async with opened(tmp_path) as made:
        yield made


TWO = dict.fromkeys(PANES["compare"][:2], SETUP)


async def asked(
    store: PageStore, question: str, shown: str | None = None, kind: Kind = "chat"
) -> Conversation:
    setups = dict.fromkeys(PANES[kind][:2], SETUP)
    return await store.conversations.ask(ANNA, kind, shown, question, setups)


async def test_what_a_question_gives_back_is_what_is_kept(store: PageStore) -> None:
    long = "가" * 300 + " " + "나" * 300
    first = await store.asking.ask(ANNA, "compare", None, NewQuestion(long, TWO, "문맥", hidden=True))
    assert await store.conversations.get(ANNA, first.conversation.id) == first.conversation
    found = await answered(store, first.conversation)
    then = await store.asking.ask(ANNA, "compare", found.id, NewQuestion("둘째", TWO))
    assert await store.conversations.get(ANNA, found.id) == then.conversation
    assert then.history == await store.conversations.history(ANNA, "compare")
    assert {first.rater, then.rater} == {await store.users.rater_id(ANNA)}


async def answered(store: PageStore, found: Conversation, words: str = "답") -> Conversation:
    for side in found.sides.values():
        done = side.with_last(state="done", answer=words, finish_reason="stop", request_id="req-1")
        await store.conversations.write_answer(done.turns[-1])
    again = await store.conversations.get(ANNA, found.id)
    assert again is not None
    return again


async def test_a_conversation_outlives_the_process(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        kept = await answered(store, await asked(store, "첫 질문", kind="compare"))
        kept = await answered(store, await asked(store, "둘째 질문", kept.id, "compare"), "답 2")
    async with opened(tmp_path) as store:
        found = await store.conversations.newest(ANNA, "compare")
    assert found == kept
    assert [turn.question for turn in kept.sides["left"].turns] == ["첫 질문", "둘째 질문"]
    assert kept.sides["right"].turns[1].answer == "답 2"
    assert kept.sides["right"].turns[1].request_id == "req-1"


async def test_two_tabs_lose_nothing(store: PageStore) -> None:
    tab_a, tab_b = await asyncio.gather(asked(store, "탭 가"), asked(store, "탭 나"))
    await answered(store, tab_a)
    await answered(store, tab_b)
    await asyncio.gather(asked(store, "가 둘째", tab_a.id), asked(store, "나 둘째", tab_b.id))
    for tab, words in ((tab_a, "가 둘째"), (tab_b, "나 둘째")):
        found = await store.conversations.get(ANNA, tab.id)
        assert found is not None
        assert [turn.question for turn in found.sides["chat"].turns][1:] == [words]
    assert {line.id for line in (await store.conversations.history(ANNA, "chat")).lines} == {
        tab_a.id,
        tab_b.id,
    }


async def test_of_two_questions_at_once_in_one_conversation_one_is_refused_and_nothing_is_lost(
    store: PageStore,
) -> None:
    found = await answered(store, await asked(store, "처음"))
    both = await asyncio.gather(
        asked(store, "하나", found.id), asked(store, "둘", found.id), return_exceptions=True
    )
    assert [type(each) for each in both if isinstance(each, Exception)] == [StillAnswering]
    after = await store.conversations.get(ANNA, found.id)
    assert after is not None
    assert len(after.sides["chat"].turns) == 2


async def test_an_answer_asked_again_is_a_new_version_and_the_old_one_stays(store: PageStore) -> None:
    found = await answered(store, await asked(store, "질문", kind="compare"), "옛 답")
    again = await store.conversations.ask_again(ANNA, found.id, "left", SETUP)
    assert again is not None
    assert again.sides["left"].running
    assert again.sides["left"].turns[0].id != found.sides["left"].turns[0].id
    assert again.sides["right"] == found.sides["right"]
    with pytest.raises(StillAnswering):
        await store.conversations.ask_again(ANNA, found.id, "left", SETUP)
    rows = await store.conversations._database.run(
        lambda connection: connection.execute(sa.select(answers).where(answers.c.pane == "left")).all()
    )
    assert sorted((row.version, row.answer) for row in rows) == [(1, "옛 답"), (2, "")]


async def test_a_question_taken_back_is_asked_of_nobody_any_more(store: PageStore) -> None:
    found = await answered(store, await asked(store, "처음"))
    await answered(store, await asked(store, "잘못", found.id))
    left = await store.conversations.withdraw(ANNA, found.id)
    assert left is not None
    assert [turn.question for turn in left.sides["chat"].turns] == ["처음"]
    third = await asked(store, "셋째", found.id)
    assert [turn.question for turn in third.sides["chat"].turns] == ["처음", "셋째"]


async def test_a_deleted_conversation_comes_back(store: PageStore) -> None:
    found = await answered(store, await asked(store, "질문"))
    await store.conversations.delete(ANNA, found.id)
    assert await store.conversations.get(ANNA, found.id) is None
    assert await store.conversations.newest(ANNA, "chat") is None
    assert (await store.conversations.history(ANNA, "chat")).lines == []
    assert await store.conversations.restore(ANNA, found.id) == found


async def test_nobody_reaches_what_is_another_users(store: PageStore) -> None:
    found = await answered(store, await asked(store, "비밀"))
    kept = store.conversations
    assert await kept.get(BORA, found.id) is None
    assert (await kept.history(BORA, "chat")).lines == []
    await kept.delete(BORA, found.id)
    await kept.rename(BORA, found.id, "내 것")
    await store.opinions.keep(BORA, found.sides["chat"].turns[0].id, Mark(score=1))
    assert await kept.restore(BORA, found.id) is None
    assert await kept.vote(BORA, found.id, str(uuid.uuid4()), "left") is None
    assert await kept.get(ANNA, found.id) == found
    made = await kept.ask(BORA, "chat", found.id, "끼어들기", {"chat": SETUP})
    assert made.id != found.id


async def test_the_list_has_pinned_ones_first_then_the_newest_and_can_be_searched(store: PageStore) -> None:
    made = [await answered(store, await asked(store, f"질문 {word}")) for word in ("가", "100%", "다")]
    await store.conversations.pin(ANNA, made[0].id, pinned=True)
    await store.conversations.rename(ANNA, made[1].id, "새 이름\n둘째 줄")
    lines = (await store.conversations.history(ANNA, "chat")).lines
    assert [line.title for line in lines] == ["질문 가", "질문 다", "새 이름 둘째 줄"]
    assert [line.pinned for line in lines] == [True, False, False]
    for words, ids in (("이름", {made[1].id}), ("0%", {made[1].id}), ("질문 다", {made[2].id}), ("_", set())):
        assert {line.id for line in (await store.conversations.history(ANNA, "chat", words)).lines} == ids
    await store.conversations.rename(ANNA, made[1].id, " \n")
    assert "새 이름 둘째 줄" in [
        line.title for line in (await store.conversations.history(ANNA, "chat")).lines
    ]


async def test_votes_and_ratings_are_kept_and_a_vote_shows_the_names(store: PageStore) -> None:
    setups = {"left": SETUP, "right": SETUP}
    found = await store.conversations.ask(ANNA, "compare", None, "질문", setups, hidden=True)
    assert found.hidden
    turn_id, pair = found.sides["left"].turns[0].id, str(uuid.uuid4())
    await store.opinions.keep(ANNA, turn_id, Mark(score=4, tags=("tone",)))
    await store.conversations.vote(ANNA, found.id, pair, "tie")
    voted = await store.conversations.vote(ANNA, found.id, pair, "left")
    assert voted is not None
    assert (voted.hidden, voted.votes) == (False, {pair: "left"})
    assert voted.marks == {turn_id: Mark(score=4, tags=("tone",))}


async def test_an_answer_whose_process_died_is_a_stopped_one(store: PageStore) -> None:
    found = await asked(store, "질문")
    await store.conversations.write_answer(found.sides["chat"].with_last(answer="반").turns[-1])
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    await store.conversations._database.run(
        lambda connection: connection.execute(sa.update(answers).values(written=long_ago))
    )
    after = await store.conversations.get(ANNA, found.id)
    assert after is not None
    assert (after.sides["chat"].turns[-1].state, after.sides["chat"].turns[-1].answer) == ("stopped", "반")
    assert (await asked(store, "다음", found.id)).sides["chat"].turns[0].state == "stopped"


async def test_what_a_browser_kept_is_taken_over_once(store: PageStore) -> None:
    from webui.pages.takeover import take_over_chats, take_over_comparison

    left = Side().ask("질문", SETUP).with_last(state="done", answer="왼 답")
    right = Side().ask("질문", SETUP).with_last(answer="반")
    turn_id, pair = left.turns[0].id, str(uuid.uuid4())
    old = (
        {"hidden": True, "votes": {pair: "left"}, "rater_id": "rater-1"},
        left.model_dump(mode="json"),
        right.model_dump(mode="json"),
        {turn_id: {"score": 5}},
        None,
    )
    await asyncio.gather(*[take_over_comparison(store, ANNA, old) for _ in range(2)])
    (line,) = (await store.conversations.history(ANNA, "compare")).lines
    found = await store.conversations.get(ANNA, line.id)
    assert found is not None
    assert found.sides["left"] == left
    assert found.sides["right"].turns[0].state == "stopped"
    assert (found.hidden, found.votes, found.marks) == (True, {pair: "left"}, {turn_id: Mark(score=5)})
    assert await store.users.rater_id(ANNA) == "rater-1"
    chats: list[Any] = [{"id": str(uuid.uuid4()), "side": left.model_copy(update={}).model_dump(mode="json")}]
    chats[0]["side"]["turns"][0]["id"] = str(uuid.uuid4())
    await take_over_chats(store, ANNA, {"chats": chats})
    await take_over_chats(store, ANNA, {"chats": chats})
    assert len((await store.conversations.history(ANNA, "chat")).lines) == 1


@pytest.mark.parametrize("broken", [None, [], "x", {"chats": 3}, {"chats": [{"id": "x", "side": {}}]}])
async def test_broken_browser_data_is_no_conversation(store: PageStore, broken: object) -> None:
    from webui.pages.takeover import take_over_chats, take_over_comparison

    await take_over_chats(store, ANNA, broken)
    await take_over_comparison(store, ANNA, [broken] * 5)
    assert (await store.conversations.history(ANNA, "chat")).lines == []


async def test_users_have_one_rater_id_and_settings(store: PageStore) -> None:
    ids = await asyncio.gather(*[store.users.rater_id(ANNA) for _ in range(5)])
    assert len(set(ids)) == 1
    assert await store.users.rater_id(BORA) != ids[0]
    assert await store.users.setting(ANNA, "blind") is None
    await store.users.set(ANNA, "blind", True)
    await store.users.set(ANNA, "blind", False)
    assert await store.users.setting(ANNA, "blind") is False


async def test_the_file_is_for_its_owner_alone(store: PageStore, tmp_path: Path) -> None:
    await asked(store, "질문")
    for path in (tmp_path / "state").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


async def test_a_store_that_is_away_is_asked_again(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way", encoding="utf-8")
    async with opened(tmp_path) as store:
        with pytest.raises(StoreFailed):
            await asked(store, "질문")
        (tmp_path / "state").unlink()
        assert (await asked(store, "질문")).title == "질문"


async def test_on_postgresql_conversations_are_kept_as_on_sqlite(postgres_url: str) -> None:
    store = PageStore(postgres_url)
    kept = await answered(store, await asked(store, "서울의 가을은?"))
    later = await asked(store, "부산은?", kept.id)
    assert [turn.question for turn in later.sides["chat"].turns] == ["서울의 가을은?", "부산은?"]
    again = PageStore(postgres_url)  # another process: the tables are there
    await again.conversations.stop(ANNA, kept.id)
    growing = later.sides["chat"].with_last(answer="바다").turns[-1]
    assert not (await store.conversations.write_answer(growing)).wanted
    ended = growing.model_copy(update={"state": "stopped"})
    assert (await store.conversations.write_answer(ended)).wanted
    await store.conversations.delete(ANNA, kept.id)
    assert (await store.conversations.history(ANNA, "chat", "")).lines == []
    await store.close()
    restored = await again.conversations.restore(ANNA, kept.id)
    assert restored is not None
    (found,) = (await again.conversations.history(ANNA, "chat", "가을")).lines
    assert found.id == kept.id
    assert await again.conversations.get(BORA, kept.id) is None
    await asyncio.gather(*(again.users.set(ANNA, "blind", True) for _ in range(8)))
    assert await again.users.setting(ANNA, "blind") is True
    await again.close()


def test_a_url_of_another_database_is_refused_by_its_setting() -> None:
    with pytest.raises(UserError, match=r"webui\.database_url"):
        PageStore("mysql://h/d")


async def test_the_first_question_fixes_how_many_models_are_compared(store: PageStore) -> None:
    setups = dict.fromkeys(PANES["compare"][:3], SETUP)
    found = await answered(store, await store.conversations.ask(ANNA, "compare", None, "하나", setups))
    assert list(found.sides) == ["left", "right", "third"]
    other = SETUP.model_copy(update={"model": "other"})
    more = {"left": other, "fourth": other}
    again = await store.conversations.ask(ANNA, "compare", found.id, "둘", more)
    assert {pane: side.turns[-1].setup.model for pane, side in again.sides.items()} == {
        "left": "other",
        "right": "m",
        "third": "m",
    }
    word = await store.shares.share(ANNA, found.id)
    shared = await store.shares.find(word or "")
    assert shared is not None
    assert list(shared.sides) == ["left", "right", "third"]
