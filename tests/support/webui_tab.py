"""A tab of the chat page without a browser: its listeners, called as Gradio calls them. Imports Gradio, which
takes as long as a hundred tests: import this inside tests alone."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from tests.support.page_app import page_alone
from webui.answer_feed import AnswerFeed, Asked
from webui.answering import Answering
from webui.gateway_client import GatewayClient, StreamEvent
from webui.pages.app import page_i18n
from webui.pages.chat.events import ChatEvents
from webui.pages.chat.layout import build_chat
from webui.session import COOKIE
from webui.status_cache import StatusCache
from webui.store.page_store import PageStore
from webui.store.users import user_of


class Words(GatewayClient):
    """Answers every question with two words."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    async def stream(self, request: Any, rest: Any = None) -> AsyncGenerator[StreamEvent, None]:
        self.asked.append([message.content for message in request.messages])
        yield StreamEvent(text="두 ")
        yield StreamEvent(text="낱말", finish_reason="stop")


class Tab:
    """One tab: the values of its components, changed by what listeners give back."""

    def __init__(self, chat: ChatEvents, browser: str = "browser-" + "a" * 20) -> None:
        self.events, self.page = chat, chat.page
        self.user, self.feed = user_of(browser), AnswerFeed(chat.answering, chat.store.conversations)
        self.told: list[dict[str, Any]] = []
        """What the feed said last of each answer on the screen."""
        headers = {"cookie": f"{COOKIE}={browser}", "accept-language": "ko"}
        self.request = gr.Request(headers=headers, query_params={}, state=None)
        self.values: dict[Any, Any] = dict.fromkeys(self.page.setup.all)
        self.values |= {
            self.page.setup.picker: "m",
            self.page.composer.question: "",
            self.page.composer.context: "",
            self.page.attached: [],
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
        """All that is asked and answered on the screen."""
        return " ".join(words for told in self.told for words in (told["question"], told["text"]))

    async def load(self, conversation: str = "") -> None:
        self.request = gr.Request(headers=self.request.headers, query_params={"c": conversation}, state=None)
        self.take(await self.events.load(self.request, None))
        self.values[self.page.setup.picker] = "m"
        await self.follow()

    async def ask(self, question: str) -> None:
        self.values[self.page.composer.question] = question
        self.take(await self.events.begin(self.request, self.values))

    async def follow(self) -> None:
        """Ask the feed, as the page's script does, until every answer on the screen has ended."""
        while True:
            await self.look()
            if all(told["state"] != "running" for told in self.told):
                break
            await asyncio.sleep(0)
        self.take(await self.events.settle(self.request, self.shown))

    async def look(self) -> None:
        """Ask the feed once for all that stands on the screen."""
        found = re.search(r'answers="([^"]*)"', self.values[self.page.chat])
        asked = [Asked(turn_id, None) for turn_id in found[1].split()] if found else []
        self.told = (await self.feed.tell(self.user, asked, "ko"))["answers"] if asked else []


@asynccontextmanager
async def chat_of(folder: Path) -> AsyncIterator[tuple[ChatEvents, Words]]:
    client, store = Words(), PageStore(f"sqlite:///{folder / 'webui.db'}")
    answering = Answering(client, store.conversations.write_answer, without_page_s=60)
    with page_alone():
        page = build_chat(page_i18n(), 2.0)
    try:
        async with answering.running():
            yield ChatEvents(page, store, StatusCache(client), answering), client
    finally:
        await store.close()
