"""비교 / Compare: loading, asking, stopping. Feedback and files are in `feedback`."""

import random
from collections.abc import AsyncGenerator, Callable
from typing import Any

import gradio as gr

from webui.answering import Runs, answer
from webui.choices import default_pair, fresh_setup, model_ids
from webui.conversation import QUESTION_CHARACTERS, Setup, Side, dump, load_side
from webui.gateway_client import GatewayClient
from webui.pages.compare.layout import ComparePage, Pane
from webui.pages.compare.state import Kept, Shared, load_kept, load_shared
from webui.pages.compare.view import CompareView
from webui.pages.parts import Updates, lang_of, note_answer, setup_of, setup_values
from webui.status_cache import StatusCache
from webui.texts import Lang, text


class CompareEvents:
    """The listeners of one page. They keep nothing between calls: the browser holds the conversation."""

    def __init__(self, page: ComparePage, client: GatewayClient, cache: StatusCache, runs: Runs) -> None:
        self.page = page
        self.client = client
        self.cache = cache
        self.runs = runs
        self.view = CompareView(page, cache)

    async def load(self, request: gr.Request, *stored: Any) -> Updates:
        """Show what the browser kept, or the default pair, or what `?a=&b=&q=` asks for."""
        lang, query, page = lang_of(request), dict(request.query_params), self.page
        kept = load_kept(stored)
        kept = kept._replace(left=kept.left.interrupted(), right=kept.right.interrupted())
        wanted = [query.get("a"), query.get("b")]
        setups = [side.last.setup if side.last else None for side in (kept.left, kept.right)]
        for name, setup in zip(wanted, setups, strict=True):
            if name and setup and name != setup.model:
                kept, setups = _emptied(kept.shared), [None, None]
                break
        updates: Updates = {page.shared: dump(kept.shared)}
        defaults = default_pair(self.cache.models, self.cache.providers)
        for pane, setup, name, default in zip(page.panes, setups, wanted, defaults, strict=True):
            chosen = setup or self._fresh_setup(name or default)
            updates |= dict(zip(pane.setup, setup_values(chosen), strict=True)) if chosen else {}
            updates[pane.store] = dump(kept.side(pane))
        if query.get("q") and not kept.left.turns:
            updates[page.question] = query["q"]
        left, right = updates.get(page.left.picker), updates.get(page.right.picker)
        updates |= self.view.whole(kept, lang) | self.view.status(kept.shared, left, right, lang)
        return updates | self.view.pickers(left, right)

    def _fresh_setup(self, model: str | None) -> Setup | None:
        return fresh_setup(model, self.cache.find(model)) if model else None

    async def refresh(
        self, request: gr.Request, shared: Any, left: str | None, right: str | None, listed: list[str]
    ) -> Updates:
        """States of the models, from memory; the pickers only when their list has changed."""
        updates: Updates = {}
        if left is None and right is None:
            left, right = default_pair(self.cache.models, self.cache.providers)
            for pane, setup in zip(self.page.panes, map(self._fresh_setup, (left, right)), strict=True):
                updates |= dict(zip(pane.setup, setup_values(setup), strict=True)) if setup else {}
        if set(model_ids(self.cache.models, left, right)) - set(listed):
            updates |= self.view.pickers(left, right, listed)
        return updates | self.view.status(load_shared(shared), left, right, lang_of(request))

    def picked(self, pane: Pane) -> Callable[..., Any]:
        """Another model was chosen in one pane: its state, and the sliders its kind starts with."""

        async def listener(request: gr.Request, shared: Any, left: str | None, right: str | None) -> Updates:
            setup = self._fresh_setup(left if pane.name == "left" else right)
            updates = self.view.status(load_shared(shared), left, right, lang_of(request))
            if setup is not None:
                updates |= dict(zip(pane.setup[2:], setup_values(setup)[2:], strict=True))
            return updates

        return listener

    async def begin(self, request: gr.Request, question: str | None, blind: bool, *rest: Any) -> Updates:
        """Put the question to both sides; the listeners after this one fetch the answers."""
        lang, page = lang_of(request), self.page
        kept, values = load_kept(rest[:5]), rest[5:]
        setups = [setup_of(values[:5], self.cache), setup_of(values[5:], self.cache)]
        question = (question or "").strip()
        if kept.left.running or kept.right.running:
            return self._refused("ask_wait_both", lang)
        if not question:
            return self._refused("ask_question", lang)
        if len(question) > QUESTION_CHARACTERS:
            return self._refused("ask_shorter", lang)
        updates: Updates = {page.question: ""}
        if not kept.left.turns and not kept.right.turns:
            kept = kept._replace(shared=kept.shared.fresh(blind=blind, hidden=blind, begun=True))
            updates[page.shared] = dump(kept.shared)
            # The hidden pickers and settings change places as well: a pane always holds its own model's.
            if kept.shared.hidden and random.random() < 0.5:
                setups.reverse()
        left_setup, right_setup = setups
        if left_setup is None or right_setup is None:
            return self._refused("ask_model", lang)
        kept = kept._replace(
            left=kept.left.ask(question, left_setup), right=kept.right.ask(question, right_setup)
        )
        for pane, setup in ((page.left, left_setup), (page.right, right_setup)):
            updates |= dict(zip(pane.setup, setup_values(setup), strict=True))
            updates |= self._announce(pane, kept.side(pane), kept.shared, lang)
        updates |= self.view.common(kept.shared, kept.left, kept.right, lang)
        return updates | self.view.status(kept.shared, left_setup.model, right_setup.model, lang)

    def _refused(self, key: str, lang: Lang) -> Updates:
        gr.Warning(text(lang, key), title="")
        return {self.page.question: gr.skip()}

    def _announce(self, pane: Pane, side: Side, shared: Shared, lang: Lang) -> Updates:
        """Show a side's open question; from here on Stop finds its run."""
        if side.last is not None:
            self.runs.announce(side.last.id)
        return self.view.side(pane, side, shared, {}, lang) | {pane.store: dump(side)}

    def fetch(self, pane: Pane) -> Callable[..., AsyncGenerator[Updates, None]]:
        """One side's answer as it grows. Each side has its own listener and so its own speed."""

        async def listener(
            request: gr.Request, stored: Any, shared_stored: Any
        ) -> AsyncGenerator[Updates, None]:
            lang, shared, side = lang_of(request), load_shared(shared_stored), load_side(stored)
            async for grown, waited_s in answer(self.client, side, self.runs):
                if grown.running:
                    yield self.view.answer(pane, grown, shared, lang, waited_s)
                else:
                    note_answer(self.cache, grown)
                    yield self.view.side(pane, grown, shared, {}, lang) | {pane.store: dump(grown)}

        return listener

    def retry(self, pane: Pane) -> Callable[..., Any]:
        """Ask one side's last question again, with what its pickers say now."""

        async def listener(request: gr.Request, *rest: Any) -> Updates:
            lang, kept, setup = lang_of(request), load_kept(rest[:5]), setup_of(rest[5:], self.cache)
            side = kept.side(pane)
            if side.last is None or side.running:
                return self._refused("ask_wait", lang)
            side = side.ask_again(setup or side.last.setup)
            kept = kept._replace(left=side) if pane.name == "left" else kept._replace(right=side)
            updates = self._announce(pane, side, kept.shared, lang)
            return updates | self.view.common(kept.shared, kept.left, kept.right, lang)

        return listener

    async def settle(self, request: gr.Request, *stored: Any) -> Updates:
        """One side has ended: when both have, buttons and vote row follow.

        The first to end changes nothing: the browser may draw what it said after what the second said.
        """
        kept = load_kept(stored)
        if kept.left.running or kept.right.running:
            return {self.page.send: gr.skip()}
        return self.view.common(kept.shared, kept.left, kept.right, lang_of(request))

    async def stop(self, request: gr.Request, *stored: Any) -> Updates:
        """End both answers. Their listeners close them; one that has no listener any more is closed here."""
        lang, kept = lang_of(request), load_kept(stored)
        updates: Updates = {self.page.stop: gr.skip()}
        for pane in self.page.panes:
            side = kept.side(pane)
            if side.last is None or not side.running or self.runs.stop(side.last.id):
                continue
            side = side.interrupted()
            kept = kept._replace(left=side) if pane.name == "left" else kept._replace(right=side)
            updates |= self.view.side(pane, side, kept.shared, {}, lang) | {pane.store: dump(side)}
            updates |= self.view.common(kept.shared, kept.left, kept.right, lang)
        return updates

    async def clear(self, request: gr.Request, shared: Any, left: str | None, right: str | None) -> Updates:
        """A new, empty comparison with the same models."""
        lang = lang_of(request)
        kept = _emptied(load_shared(shared))
        page, empty = self.page, dump(Side())
        updates: Updates = dict(zip(page.stores, [dump(kept.shared), empty, empty, {}, {}], strict=True))
        return updates | self.view.whole(kept, lang) | self.view.status(kept.shared, left, right, lang)

    async def blind(self, request: gr.Request, switch: bool, *rest: Any) -> Updates:
        """Off shows the names at once; on hides those of the next comparison."""
        lang, kept, (left, right) = lang_of(request), load_kept(rest[:5]), rest[5:]
        shared = kept.shared.model_copy(update={"blind": switch, "hidden": kept.shared.hidden and switch})
        if switch and kept.left.turns and not shared.hidden:
            gr.Info(text(lang, "blind_next"), title="")
        kept = kept._replace(shared=shared)
        updates: Updates = {self.page.shared: dump(shared)}
        return updates | self.view.whole(kept, lang) | self.view.status(shared, left, right, lang)


def _emptied(shared: Shared) -> Kept:
    """A new, empty comparison in the same browser."""
    return Kept(shared.fresh(blind=shared.blind), Side(), Side(), {}, {})
