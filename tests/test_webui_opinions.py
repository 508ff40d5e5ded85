"""What the reader of a chat's answer thinks of it: kept, told the gateway, corrected, withdrawn, refused."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from common.feedback import RequestFeedback, Sampling
from tests.support.page_app import page_client
from webui.conversation import Mark, Setup
from webui.failures import Failure
from webui.gateway_client import GatewayClient, GatewayError
from webui.opinions.routes import Changes, OpinionDesk
from webui.opinions.words import script_words
from webui.session import COOKIE
from webui.store.page_store import PageStore

ANNA, BORA = "a" * 64, "b" * 64
SETUP = Setup(model="돌리", sampling=Sampling(temperature=0.2, top_p=1.0, max_tokens=64))


class Gateway(GatewayClient):
    """Keeps what it is sent, until it is away."""

    def __init__(self) -> None:
        self.taken: dict[str, RequestFeedback] = {}
        self.failure: Failure | None = None
        self.keeps_words = True

    async def send_opinion(self, opinion: RequestFeedback) -> bool:
        self._fail()
        self.taken[str(opinion.id)] = opinion
        return self.keeps_words

    async def delete_rating(self, rating_id: str) -> None:
        self._fail()
        self.taken.pop(rating_id, None)

    def _fail(self) -> None:
        if self.failure is not None:
            raise GatewayError(self.failure)


@dataclass
class Reader:
    """A reader before two answers of one chat."""

    store: PageStore
    answers: list[str]
    gateway: Gateway = field(default_factory=Gateway)

    async def says(self, user: str = ANNA, at: int = 0, **changes: Any) -> tuple[Mark, str] | None:
        desk = OpinionDesk(self.gateway, self.store)
        return await desk.take(user, self.answers[at], Changes.model_validate(changes), "ko")

    async def kept(self, at: int = 0) -> Mark:
        return (await self.store.conversations.answers(ANNA, self.answers))[self.answers[at]].mark

    def told(self, at: int = 0) -> RequestFeedback:
        return self.gateway.taken[self.answers[at]]


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    store = PageStore(f"sqlite:///{tmp_path / 'webui.db'}")
    found = await store.conversations.ask(ANNA, "chat", None, "처음", {"chat": SETUP})
    for number, reason in ((1, "stop"), (2, "length")):
        done = {"answer": f"답 {number}", "finish_reason": reason, "request_id": f"req-{number}"}
        grown = found.sides["chat"].with_last(state="done", checkpoint="0123456789ab", **done)
        await store.conversations.write_answer(grown.turns[-1])
        if number == 1:
            found = await store.conversations.ask(ANNA, "chat", found.id, "다음", {"chat": SETUP})
    try:
        yield Reader(store, [turn.id for turn in found.sides["chat"].turns])
    finally:
        await store.close()


async def test_an_opinion_reaches_the_gateway_with_its_conversation_and_outlives_a_reload(
    reader: Reader,
) -> None:
    assert await reader.says(at=1, thumb="down", tags=["tone"]) is not None
    await reader.says(at=1, score=2)
    said = reader.told(1)
    assert (said.thumb, said.score, said.tags, said.locale) == ("down", 2, ["tone"], "ko")
    assert (said.request_id, said.model, said.checkpoint) == ("req-2", "돌리", "0123456789ab")
    assert [message.content for message in said.messages] == ["처음", "답 1", "다음"]
    assert (said.answer, said.finish_reason) == ("답 2", "length")
    assert said.rater_id == await reader.store.users.rater_id(ANNA)
    assert await reader.kept(1) == Mark(thumb="down", tags=("tone",), score=2)
    assert await reader.kept(0) == Mark()


async def test_a_tab_that_shows_an_old_state_takes_nothing_away(reader: Reader) -> None:
    await reader.says(correction="고친 답")
    await reader.says(thumb="up")
    assert (reader.told().correction, reader.told().thumb) == ("고친 답", "up")


async def test_an_opinion_is_corrected_and_taken_back(reader: Reader) -> None:
    await reader.says(thumb="up", correction="고친 답")
    assert await reader.says(correction="다시 고친 답") == (
        Mark(thumb="up", correction="다시 고친 답"),
        "고쳐 쓴 답변을 저장했습니다.",
    )
    assert list(reader.gateway.taken) == [reader.answers[0]]
    await reader.says(correction=" \n ")
    assert reader.told().correction is None
    assert await reader.says(thumb=None) == (Mark(), "평가를 거두었습니다.")
    assert reader.gateway.taken == {}


async def test_what_a_gateway_does_not_take_is_kept_here_and_sent_again(reader: Reader) -> None:
    reader.gateway.failure = Failure(kind="gateway_down")
    taken = await reader.says(correction="고친 답")
    assert taken is not None
    assert "게이트웨이에 연결하지 못했습니다." in taken[1]
    assert await reader.kept() == Mark(correction="고친 답", sent=False)
    reader.gateway.failure = Failure(kind="refused", message="Too long.")
    assert (await reader.says() or ("", ""))[1].endswith("Too long.")
    reader.gateway.failure = None
    await reader.says()
    assert reader.told().correction == "고친 답"
    assert await reader.kept() == Mark(correction="고친 답")


async def test_a_gateway_that_keeps_nobodys_words_is_told_of(reader: Reader) -> None:
    reader.gateway.keeps_words = False
    assert "글을 보관하지 않아" in (await reader.says(correction="고친 답") or ("", ""))[1]
    assert await reader.says(at=1, thumb="up") == (Mark(thumb="up"), "평가를 저장했습니다.")


async def test_only_whole_answers_of_ones_own_that_still_stand_are_judged(reader: Reader) -> None:
    assert await reader.says(BORA, thumb="up") is None
    found = await reader.store.conversations.newest(ANNA, "chat")
    assert found is not None
    await reader.store.conversations.ask_again(ANNA, found.id, "chat", SETUP)
    assert await reader.says(at=1, thumb="up") is None  # replaced
    again = await reader.store.conversations.get(ANNA, found.id)
    assert again is not None
    reader.answers[1] = again.sides["chat"].turns[1].id
    assert await reader.says(at=1, thumb="up") is None  # on its way
    await reader.store.conversations.delete(ANNA, found.id)
    assert await reader.says(thumb="up") is None
    assert reader.gateway.taken == {}


def test_the_page_draws_opinions_in_the_readers_language() -> None:
    assert '"correct": "고쳐 쓰기"' in script_words("ko")
    assert '"tone": "Tone"' in script_words("en")


async def test_the_route_is_for_browsers_with_a_cookie_and_of_this_site(tmp_path: Path) -> None:
    async with page_client(tmp_path) as client:

        async def post(body: object, **headers: str) -> httpx2.Response:
            return await client.post("/page/answers/x/opinion", json=body, headers=headers)

        cookie = {"cookie": f"{COOKIE}=browser-{'a' * 20}"}
        assert (await post({"thumb": "up"})).status_code == 401
        gone = await post({"thumb": "up"}, **cookie)
        assert (gone.status_code, gone.headers["content-type"]) == (404, "text/plain; charset=utf-8")
        for wrong in ({"thumb": "sideways"}, {"score": 6}, {"correction": "x" * 100_001}, {"other": 1}):
            assert (await post(wrong, **cookie)).status_code == 422
        foreign = cookie | {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
        assert (await post({"thumb": "up"}, **foreign)).status_code == 403
