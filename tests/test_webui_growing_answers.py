"""Answers that one process fetches and another stops, deletes, gives up or shows: what the store allows."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from common.feedback import Sampling
from webui.answer_feed import AnswerFeed, Asked
from webui.answering import Answering
from webui.conversation import Setup, Turn
from webui.gateway_client import GatewayClient
from webui.store.conversations import Conversation, StillAnswering
from webui.store.growing_answers import ABANDONED_S, STOPPING_S
from webui.store.page_store import PageStore
from webui.store.tables import answers

SETUP = Setup(model="m", sampling=Sampling(temperature=0.2, top_p=1.0, max_tokens=64))
ANNA, BORA = "anna", "bora"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[PageStore]:
    made = PageStore(f"sqlite:///{tmp_path / 'webui.db'}")
    try:
        yield made
    finally:
        await made.close()


async def ask(store: PageStore, shown: Conversation | None = None) -> Conversation:
    shown_id = shown.id if shown else None
    return await store.conversations.ask(ANNA, "chat", shown_id, "질문", {"chat": SETUP}, hidden=True)


def last(found: Conversation | None) -> Turn:
    assert found is not None
    return found.sides["chat"].turns[-1]


async def read(store: PageStore, found: Conversation) -> Turn:
    return last(await store.conversations.get(ANNA, found.id))


async def wrote_ago(store: PageStore, seconds: float) -> None:
    """As if no process had written anything since."""
    then = datetime.now(UTC) - timedelta(seconds=seconds)
    await store.conversations._database.run(
        lambda connection: connection.execute(sa.update(answers).values(written=then))
    )


async def test_a_stopped_answer_runs_until_its_process_has_written_the_last_words(store: PageStore) -> None:
    found = await ask(store)
    growing = last(found).model_copy(update={"answer": "하나 "})
    assert (await store.conversations.write_answer(growing)).wanted
    await store.conversations.stop(BORA, found.id)
    assert (await store.conversations.write_answer(growing)).wanted
    await store.conversations.stop(ANNA, found.id)
    assert (await read(store, found)).state == "running"
    with pytest.raises(StillAnswering):
        await ask(store, found)
    more = growing.model_copy(update={"answer": "하나 둘 "})
    assert not (await store.conversations.write_answer(more)).wanted
    assert (await read(store, found)).answer == "하나 "
    await store.conversations.write_answer(more.model_copy(update={"state": "stopped"}))
    ended = await read(store, found)
    assert (ended.state, ended.answer) == ("stopped", "하나 둘 ")
    assert len((await ask(store, found)).sides["chat"].turns) == 2


@pytest.mark.parametrize(("asked_to_stop", "after_s"), [(False, ABANDONED_S), (True, STOPPING_S)])
async def test_a_process_that_comes_back_too_late_changes_nothing(
    store: PageStore, asked_to_stop: bool, after_s: float
) -> None:
    found = await ask(store)
    growing = last(found).model_copy(update={"answer": "반"})
    await store.conversations.write_answer(growing)
    if asked_to_stop:
        await store.conversations.stop(ANNA, found.id)
    await wrote_ago(store, after_s + 1)
    assert (await read(store, found)).state == "stopped"
    again = await store.conversations.ask_again(ANNA, found.id, "chat", SETUP)
    for state in ("running", "done"):
        late = growing.model_copy(update={"answer": "늦은 답", "state": state})
        assert not (await store.conversations.write_answer(late)).wanted
    kept = await store.conversations.answers(ANNA, [growing.id, last(again).id])
    assert {key: (shown.turn.answer, shown.turn.state) for key, shown in kept.items()} == {
        growing.id: ("반", "stopped"),
        last(again).id: ("", "running"),
    }


async def test_a_deleted_answer_ends_and_comes_back_whole(store: PageStore) -> None:
    found = await ask(store)
    await store.conversations.delete(ANNA, found.id)
    assert not (await store.conversations.write_answer(last(found))).wanted
    ended = last(found).model_copy(update={"answer": "반", "state": "stopped"})
    await store.conversations.write_answer(ended)
    assert last(await store.conversations.restore(ANNA, found.id)).answer == "반"


async def test_names_that_another_process_has_shown_are_told(store: PageStore) -> None:
    found = await ask(store)
    assert (await store.conversations.write_answer(last(found))).hidden
    await store.conversations.show_names(ANNA, found.id)
    assert not (await store.conversations.write_answer(last(found))).hidden


async def test_a_page_keeps_what_the_other_process_had_told_it(store: PageStore) -> None:
    """Not all of it is in the store yet."""
    found = await ask(store)
    growing = last(found).model_copy(update={"answer": "하나 둘"})
    await store.conversations.write_answer(growing)
    elsewhere = Answering(GatewayClient("http://127.0.0.1:9"), store.conversations.write_answer, 60)
    feed = AnswerFeed(elsewhere, store.conversations)

    async def told(has: int) -> list[str]:
        said = await feed.tell(ANNA, [Asked(growing.id, (has, 0))], "ko")
        return [one["text"] for one in said["answers"]]

    assert await told(3) == ["둘"]
    assert await told(5) == await told(9) == []
    await store.conversations.write_answer(growing.model_copy(update={"state": "stopped"}))
    assert await told(9) == ["하나 둘"]


async def test_a_look_through_another_process_keeps_an_answer_going(store: PageStore) -> None:
    found = await ask(store)
    growing = last(found).model_copy(update={"answer": "하나"})
    assert (await store.conversations.write_answer(growing)).looked_ago_s is None
    assert await store.conversations.answers(BORA, [growing.id]) == {}
    assert (await store.conversations.write_answer(growing)).looked_ago_s is None
    await store.conversations.answers(ANNA, [growing.id])
    standing = await store.conversations.write_answer(growing)
    assert standing.wanted
    assert standing.looked_ago_s is not None
