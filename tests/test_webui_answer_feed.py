"""What the pages' script is told of answers: what is new, whose they are, what is hidden, what is gone."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from common.database import StoreFailed
from common.errors import BadRequest
from common.feedback import Sampling
from tests.support.page_app import page_client
from webui.answer_feed import AnswerFeed, Asked, asked_in
from webui.answering import Answering
from webui.conversation import Setup
from webui.gateway_client import GatewayClient
from webui.metrics import Metrics
from webui.session import COOKIE
from webui.store.page_store import PageStore
from webui.store.users import user_of

BROWSER = "browser-" + "a" * 20
USER = user_of(BROWSER)
SETUP = Setup(model="비밀-모델", sampling=Sampling(temperature=0.2, top_p=1.0, max_tokens=64))
FIGURES = Metrics(ttft_ms=123.0, tokens=45, tokens_per_s=67.0, reasoning_ms=1500.0)


@dataclass
class Kept:
    """A store with one finished answer in it."""

    store: PageStore
    feed: AnswerFeed
    answer_id: str

    async def tell(self, *has: int, user: str = USER) -> dict[str, Any]:
        asked = [Asked(self.answer_id, (has[0], has[1]) if has else None)]
        told: dict[str, Any] = (await self.feed.tell(user, asked, "ko"))["answers"][0]
        return told


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    store = PageStore(f"sqlite:///{tmp_path / 'webui.db'}")
    asked = await store.conversations.ask(USER, "chat", None, "<b>질문</b>", {"chat": SETUP}, hidden=True)
    side = asked.sides["chat"].with_last(
        state="done", answer="답변 **하나**", reasoning="생각", metrics=FIGURES
    )
    await store.conversations.write_answer(side.turns[-1])
    answering = Answering(GatewayClient("http://127.0.0.1:9"), store.conversations.write_answer, 60)
    try:
        yield Kept(store, AnswerFeed(answering, store.conversations), side.turns[-1].id)
    finally:
        await store.close()


async def test_a_page_gets_what_it_has_not_and_as_the_model_wrote_it(kept: Kept) -> None:
    whole = await kept.tell()
    assert (whole["text"], whole["reasoning"], whole["question"]) == ("답변 **하나**", "생각", "<b>질문</b>")
    rest = await kept.tell(3, 2)
    assert (rest["from"], rest["to"]) == ((3, 2), (9, 2))
    assert (rest["text"], rest["reasoning"]) == ("**하나**", "")
    assert "question" not in rest


async def test_a_page_that_saw_more_than_was_kept_gets_it_anew(kept: Kept) -> None:
    told = await kept.tell(500, 0)
    assert (told["from"], told["text"]) == ((0, 0), "답변 **하나**")


async def test_hidden_names_are_not_told_by_name_speed_or_time_of_thought(kept: Kept) -> None:
    told = await kept.tell()
    assert told["model"] == ""
    assert not any(figure in told["line"] + told["thought"] for figure in ("123", "67", "1.50"))


async def test_nobody_is_told_the_answer_of_another(kept: Kept) -> None:
    told = await kept.tell(user="stranger")
    assert told["state"] == "gone"
    assert not any(told[name] for name in ("text", "reasoning", "line", "card", "note", "thought"))
    assert "question" not in told


async def test_an_answer_that_is_gone_ends_the_asking(kept: Kept) -> None:
    told = (await kept.feed.tell(USER, [Asked("no-such-answer", (7, 0))], "ko"))["answers"][0]
    assert (told["state"], told["from"], told["to"]) == ("gone", (7, 0), (7, 0))


@pytest.mark.parametrize("value", ["a~b~c", "a~-1~0", "x" * 65, "a~" + "1" * 12 + "~0", "a~²~0"])
def test_what_names_no_answer_is_refused(value: str) -> None:
    with pytest.raises(BadRequest):
        asked_in([value])


def test_more_answers_than_a_page_shows_are_refused() -> None:
    with pytest.raises(BadRequest):
        asked_in(["a"] * 101)


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with page_client(tmp_path) as made:
        yield made


async def test_the_feed_is_for_browsers_with_a_cookie_and_of_this_site(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await client.get("/page/answers?a=x")).status_code == 401
    cookie = {"cookie": f"{COOKIE}={BROWSER}"}
    assert (await client.get("/page/answers?a=x~y~z", headers=cookie)).status_code == 400
    foreign = cookie | {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    assert (await client.get("/page/answers?a=x", headers=foreign)).status_code == 403

    async def fail(*_: object) -> None:
        raise StoreFailed("The disk is full.")

    monkeypatch.setattr(AnswerFeed, "tell", fail)
    assert (await client.get("/page/answers?a=x", headers=cookie)).status_code == 503


async def test_scripts_are_kept_by_the_browser_and_nothing_else_is_served(client: httpx2.AsyncClient) -> None:
    head = (await client.get("/config")).json()["head"]
    script = head.split('src=".')[1].split('"')[0]
    served = await client.get(script)
    assert served.headers["content-type"].startswith(("application/javascript", "text/javascript"))
    assert "immutable" in served.headers["cache-control"]
    for path in ("../app.py", "%2e%2e/app.py", "x/../../app.py"):
        assert (await client.get(f"/page/assets/digest/{path}")).status_code in (403, 404)
