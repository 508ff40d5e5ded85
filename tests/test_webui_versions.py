"""Answers once more: versions, answers that go on, and questions that are asked otherwise."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from common.feedback import Message, Sampling
from webui.chat_request import ChatRequest
from webui.conversation import Setup, Turn
from webui.store.conversations import PANES, Conversation, StillAnswering
from webui.store.page_store import PageStore

SETUP = Setup(model="m", sampling=Sampling(temperature=0.2, top_p=1.0, max_tokens=64))
ANNA, BORA = "anna", "bora"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[PageStore]:
    made = PageStore(f"sqlite:///{tmp_path / 'webui.db'}")
    yield made
    await made.close()


async def answered(
    store: PageStore, found: Conversation | None, words: str, finish: str = "stop"
) -> Conversation:
    assert found is not None
    for side in found.sides.values():
        if side.running:
            done = side.with_last(state="done", answer=words, finish_reason=finish)
            await store.conversations.write_answer(done.turns[-1])
    again = await store.conversations.get(ANNA, found.id)
    assert again is not None
    return again


async def asked(store: PageStore, question: str, shown: str | None = None) -> Conversation:
    setups = dict.fromkeys(PANES["compare"][:2], SETUP)
    made = await store.conversations.ask(
        ANNA, "compare", shown, question, setups, context="문맥", hidden=True
    )
    return await answered(store, made, f"답: {question}")


async def test_the_next_question_goes_on_from_the_version_that_was_chosen(store: PageStore) -> None:
    first = await asked(store, "하나")
    again = await store.conversations.ask_again(ANNA, first.id, "left", SETUP)
    second = await answered(store, again, "다른 답")
    assert second.versions == {"left": (2, 2), "right": (1, 1)}
    for by, words, at in ((1, "다른 답", 2), (-1, "답: 하나", 1), (-1, "답: 하나", 1)):
        found = await store.versions.step(ANNA, first.id, "left", by)
        assert found is not None
        assert (found.sides["left"].turns[0].answer, found.versions["left"]) == (words, (at, 2))
    assert await store.versions.step(BORA, first.id, "left", 1) is None
    later = await asked(store, "둘", first.id)
    assert [message.content for message in later.sides["left"].messages()][1] == "답: 하나"
    third = await store.conversations.ask_again(ANNA, first.id, "left", SETUP)
    assert third is not None
    assert third.versions["left"] == (2, 2)
    with pytest.raises(StillAnswering):
        await store.versions.step(ANNA, first.id, "left", -1)


async def test_a_new_version_is_shown_also_where_an_older_one_was_chosen(store: PageStore) -> None:
    first = await asked(store, "하나")
    await answered(store, await store.conversations.ask_again(ANNA, first.id, "left", SETUP), "둘째")
    await store.versions.step(ANNA, first.id, "left", -1)
    found = await answered(store, await store.conversations.ask_again(ANNA, first.id, "left", SETUP), "셋째")
    assert (found.sides["left"].turns[0].answer, found.versions["left"]) == ("셋째", (3, 3))


async def test_an_answer_that_was_cut_goes_on_as_a_version_that_begins_with_it(store: PageStore) -> None:
    setups = {"chat": SETUP}
    made = await store.conversations.ask(ANNA, "chat", None, "하나", setups)
    cut = await answered(store, made, "반쯤", finish="length")
    found = await store.versions.proceed(ANNA, cut.id, "chat")
    assert found is not None
    assert (found.sides["chat"].turns[0].answer, found.running) == ("반쯤", True)
    whole = await answered(store, found, "반쯤 쓰다가 끝냈다.")
    assert whole.versions == {"chat": (2, 2)}
    assert await store.versions.proceed(ANNA, cut.id, "chat") == whole  # nothing is left to go on with


def test_a_worker_is_asked_to_go_on_from_the_last_word() -> None:
    question = [Message(role="user", content="하나")]
    body = ChatRequest("m", question, SETUP.sampling, begun="반쯤").body()
    assert body["messages"][-1] == {"role": "assistant", "content": "반쯤"}
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
    assert "continue_final_message" not in ChatRequest("m", question, SETUP.sampling).body()
    external = SETUP.model_copy(update={"external": True})
    cut = {"question": "하나", "answer": "반쯤", "state": "stopped"}
    assert Turn.model_validate({**cut, "setup": SETUP}).can_go_on
    assert not Turn.model_validate({**cut, "setup": external}).can_go_on
    assert not Turn.model_validate({**cut, "answer": "", "setup": SETUP}).can_go_on


async def test_an_edited_question_branches_off_before_it_and_leaves_the_rest_alone(store: PageStore) -> None:
    found = await asked(store, "하나")
    found = await asked(store, "둘", found.id)
    found = await asked(store, "셋", found.id)
    branched = await store.versions.branch(ANNA, found.id, found.sides["right"].turns[1].id, "둘째")
    assert branched is not None
    branch, turn = branched
    assert (turn.question, turn.context) == ("둘", "문맥")
    copy = await store.conversations.get(ANNA, branch or "")
    assert copy is not None
    assert [turn.question for turn in copy.sides["right"].turns] == ["하나"]
    assert [turn.answer for turn in copy.sides["left"].turns] == ["답: 하나"]
    assert (copy.title, copy.hidden, copy.kind) == ("둘째", True, "compare")
    assert copy.sides["left"].turns[0].id != found.sides["left"].turns[0].id
    assert await store.conversations.get(ANNA, found.id) == found
    first = await store.versions.branch(ANNA, found.id, found.sides["left"].turns[0].id, "첫째")
    assert first is not None
    assert first[0] is None
    assert await store.versions.branch(BORA, found.id, found.sides["left"].turns[0].id, "남의 것") is None
    assert await store.versions.branch(ANNA, found.id, "no-such-answer", "") is None
