"""A comparison of two finished answers whose names are hidden, and the listeners that judge it.

Imports Gradio: tests import this inside what needs it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from common.feedback import Rating, Sampling, Vote
from tests.support.page_app import page_alone
from webui.answer_feed import AnswerFeed, Asked
from webui.answering import Answering
from webui.conversation import ComparisonChoice, Setup
from webui.gateway_client import GatewayClient
from webui.metrics import Metrics
from webui.pages.app import page_i18n
from webui.pages.compare.events import CompareEvents
from webui.pages.compare.feedback import CompareFeedback
from webui.pages.compare.inputs import screen_parts
from webui.pages.compare.layout import SIDES, ComparePage, build_compare
from webui.session import COOKIE
from webui.status_cache import StatusCache
from webui.store.conversations import Conversation
from webui.store.page_store import PageStore
from webui.store.users import user_of

BROWSER = "browser-" + "a" * 20
USER = user_of(BROWSER)
REQUEST = gr.Request(
    headers={"cookie": f"{COOKIE}={BROWSER}", "accept-language": "ko"}, query_params={}, state=None
)
SAMPLING = Sampling(temperature=0.2, top_p=1.0, max_tokens=64)
FIGURES = Metrics(ttft_ms=123.0, tokens=45, tokens_per_s=67.0)


class Kept(GatewayClient):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.votes: list[Vote] = []
        self.kept: dict[str, Vote] = {}
        """By id, as the gateway has them after all."""
        self.ratings: list[Rating] = []

    async def send_vote(self, vote_id: str, vote: Vote) -> None:
        self.votes.append(vote)
        self.kept[vote_id] = vote

    async def delete_vote(self, vote_id: str) -> None:
        self.kept.pop(vote_id, None)

    async def send_rating(self, rating_id: str, rating: Rating) -> None:
        self.ratings.append(rating)


@dataclass
class Judged:
    """A page on which two finished answers stand."""

    page: ComparePage
    store: PageStore
    feedback: CompareFeedback
    shown: str
    gateway: Kept
    feed: AnswerFeed
    request: gr.Request = REQUEST

    async def vote(self, choice: ComparisonChoice) -> dict[Any, Any]:
        sides = len((await self.now()).sides)
        values: dict[Any, Any] = dict.fromkeys(screen_parts(self.page), "m")
        values |= {self.page.shown: self.shown, self.page.pane_count: sides}
        updates: dict[Any, Any] = await self.feedback.vote(choice)(REQUEST, values)
        return updates

    async def rate(self, score: int | None, *tags: str) -> dict[Any, Any]:
        updates: dict[Any, Any] = await self.feedback.rate(self.page.panes[0])(
            REQUEST, score, list(tags), self.shown
        )
        return updates

    async def told(self, side: str) -> dict[str, Any]:
        """What the page's script is told of the answer of `side`."""
        asked = [Asked((await self.now()).sides[side].turns[-1].id, None)]
        told: dict[str, Any] = (await self.feed.tell(USER, asked, "ko"))["answers"][0]
        return told

    async def now(self) -> Conversation:
        found = await self.store.conversations.get(USER, self.shown)
        assert found is not None
        return found


@asynccontextmanager
async def judged_comparison(tmp_path: Path, sides: int = 2) -> AsyncIterator[Judged]:
    """So many answers, asked blind, none of them judged yet."""
    gateway, store = Kept(), PageStore(f"sqlite:///{tmp_path / 'webui.db'}")
    cache = StatusCache(gateway)
    with page_alone():
        page = build_compare(page_i18n(), 2.0)
    answering = Answering(gateway, store.conversations.write_answer, 60)
    events = CompareEvents(page, store, cache, answering)
    setups = {side: Setup(model=f"model-{side}", sampling=SAMPLING) for side in SIDES[:sides]}
    asked = await store.conversations.ask(USER, "compare", None, "질문", setups, hidden=True)
    for side in asked.sides.values():
        done = side.with_last(state="done", answer="답", finish_reason="stop", metrics=FIGURES)
        await store.conversations.write_answer(done.turns[-1])
    try:
        feedback, feed = (
            CompareFeedback(page, gateway, store, events.view),
            AnswerFeed(answering, store.conversations),
        )
        yield Judged(page, store, feedback, asked.id, gateway, feed)
    finally:
        await store.close()
