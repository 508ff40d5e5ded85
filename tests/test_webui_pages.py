"""What the pages' listeners do, called as Gradio calls them: two tabs, a reload, a store that fails."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from common.database import StoreFailed
from webui.answering import Answering
from webui.gateway_client import GatewayClient, StreamEvent
from webui.pages.app import page_i18n
from webui.pages.chat.events import ChatEvents
from webui.pages.chat.layout import build_chat
from webui.pages.conversation_list import ListEvents
from webui.pages.parts import _told
from webui.session import COOKIE
from webui.status_cache import StatusCache
from webui.store.page_store import PageStore


class Words(GatewayClient):
    """Answers every question with two words."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    async def stream(self, request: Any) -> AsyncGenerator[StreamEvent, None]:
        self.asked.append([message.content for message in request.messages])
        yield StreamEvent(text="두 ")
        yield StreamEvent(text="낱말", finish_reason="stop")


class Tab:
    """One tab: the values of its components, changed by what listeners give back."""

    def __init__(self, chat: ChatEvents, browser: str = "browser-" + "a" * 20) -> None:
        self.events, self.page = chat, chat.page
        headers = {"cookie": f"{COOKIE}={browser}", "accept-language": "ko"}
        self.request = gr.Request(headers=headers, query_params={})
        self.values: dict[Any, Any] = dict.fromkeys(self.page.setup.all)
        self.values |= {
            self.page.setup.picker: "m",
            self.page.question: "",
            self.page.conversations.shown: "",
        }

    def take(self, updates: dict[Any, Any]) -> None:
        for part, value in updates.items():
            if isinstance(value, dict) and value.get("__type__") == "update":
                value = value.get("value", self.values.get(part))
            self.values[part] = value

    @property
    def shown(self) -> str:
        return str(self.values[self.page.conversations.shown])

    @property
    def messages(self) -> str:
        return " ".join(message["content"] for message in self.values[self.page.chat])

    async def load(self, conversation: str = "") -> None:
        self.request = gr.Request(headers=self.request.headers, query_params={"c": conversation})
        self.take(await self.events.load(self.request, None))
        self.values[self.page.setup.picker] = "m"
        await self.follow()

    async def ask(self, question: str) -> None:
        self.values[self.page.question] = question
        self.take(await self.events.begin(self.request, self.values))

    async def follow(self) -> None:
        async for updates in self.events.fetch(self.request, self.shown):
            self.take(updates)


@asynccontextmanager
async def chat_of(folder: Path) -> AsyncIterator[tuple[ChatEvents, Words]]:
    client, store = Words(), PageStore(f"sqlite:///{folder / 'webui.db'}")
    answering = Answering(client, store.conversations.write_answer, without_page_s=60)
    with gr.Blocks(analytics_enabled=False):
        page = build_chat(page_i18n(), 2.0)
    try:
        async with answering.running():
            yield ChatEvents(page, store, StatusCache(client), answering), client
    finally:
        await store.close()


async def test_two_tabs_keep_their_own_conversations(tmp_path: Path) -> None:
    async with chat_of(tmp_path) as (chat, client):
        one, two = Tab(chat), Tab(chat)
        await one.load()
        await two.load()
        await one.ask("탭 하나")
        await two.ask("탭 둘")
        await one.follow()
        await two.follow()
        await one.ask("하나 더")
        await one.follow()
        for tab, own, other in ((one, "탭 하나", "탭 둘"), (two, "탭 둘", "탭 하나")):
            await tab.load(tab.shown)
            assert own in tab.messages
            assert other not in tab.messages
        assert client.asked[-1] == ["탭 하나", "두 낱말", "하나 더"]


async def test_a_reload_before_the_answer_finds_it(tmp_path: Path) -> None:
    async with chat_of(tmp_path) as (chat, _):
        tab, reloaded = Tab(chat), Tab(chat)
        await tab.load()
        await tab.ask("질문")
        await reloaded.load(tab.shown)
        assert "두 낱말" in reloaded.messages
        assert "완료" in reloaded.values[chat.page.metrics]


async def test_what_was_deleted_is_brought_back_by_one_click(tmp_path: Path) -> None:
    async with chat_of(tmp_path) as (chat, _):
        tab = Tab(chat)
        await tab.load()
        await tab.ask("<b>질문</b>")
        await tab.follow()
        kept, listed = tab.shown, chat.page.conversations
        events = ListEvents(listed, chat.store.conversations, chat.show)
        tab.take(await events.delete(tab.request, kept))
        assert (tab.shown, tab.messages) == ("", "")
        assert "&lt;b&gt;질문" in tab.values[listed.deleted_note]
        tab.take(await events.restore(tab.request, tab.values[listed.deleted]))
        assert tab.shown == kept
        assert "두 낱말" in tab.messages


async def test_another_browser_sees_nothing_of_it(tmp_path: Path) -> None:
    async with chat_of(tmp_path) as (chat, _):
        tab, stranger = Tab(chat), Tab(chat, "browser-" + "b" * 20)
        await tab.load()
        await tab.ask("비밀")
        await tab.follow()
        await stranger.load(tab.shown)
        assert (stranger.shown, stranger.messages) == ("", "")


@pytest.mark.parametrize(
    ("failure", "words"), [("store", "저장하거나 불러오지 못했습니다"), ("cookie", "쿠키")]
)
async def test_what_cannot_be_kept_is_told_and_the_screen_stays(
    failure: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda text, **_: told.append(text))
    (tmp_path / "webui.db").mkdir()
    async with chat_of(tmp_path) as (chat, client):
        tab = Tab(chat)
        if failure == "cookie":
            tab.request = gr.Request(headers={"accept-language": "ko"}, query_params={})
        tab.values[chat.page.question] = "사라지면 안 되는 질문"
        assert await _told(chat.begin)(tab.request, tab.values) == gr.skip()
    assert words in told[0]
    assert client.asked == []


async def test_a_listener_that_grows_tells_its_failure_too(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda text, **_: told.append(text))

    async def growing(request: gr.Request) -> AsyncGenerator[int, None]:
        yield 1
        raise StoreFailed("The disk is full.")

    request = gr.Request(headers={}, query_params={})
    assert [update async for update in _told(growing)(request)] == [1, gr.skip()]
    assert len(told) == 1


async def test_a_listener_that_has_nothing_to_follow_leaves_the_page_as_it_is(tmp_path: Path) -> None:
    """Of one that yields nothing Gradio would make an update to None of every output."""
    async with chat_of(tmp_path) as (chat, _client):
        updates = [update async for update in _told(chat.fetch)(Tab(chat).request, "")]
    assert updates == [gr.skip()]
