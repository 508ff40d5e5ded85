"""비교 / Compare: loading, asking, stopping. Feedback and files are in `feedback`."""

import random
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import gradio as gr

from webui.answering import Answering
from webui.choices import default_models, fresh_setup, model_ids
from webui.conversation import QUESTION_CHARACTERS, Setup
from webui.notices import tell
from webui.pages.compare.inputs import (
    ComposedQuestion,
    Listener,
    Screen,
    shown_count,
    with_screen,
    with_setup,
)
from webui.pages.compare.layout import FIRST, ComparePage, Pane
from webui.pages.compare.state import hidden_in, side_of, sides_of
from webui.pages.compare.view import CompareView
from webui.pages.parts import Updates, asked_words, lang_of, note_answer, user_in
from webui.pages.preset_events import PresetEvents
from webui.pages.revise import ReviseEvents
from webui.pages.takeover import take_over_comparison
from webui.status_cache import StatusCache
from webui.store.conversations import Conversation, NewQuestion, StillAnswering
from webui.store.page_store import PageStore
from webui.texts import Lang, text

BLIND = "compare-blind"
"""Setting: the next new comparison hides the names."""
COUNT = "compare-panes"
"""Setting: how many panes a new comparison has."""


class CompareEvents:
    """The listeners of one page. The store holds every comparison, the page the id of the one it shows."""

    def __init__(self, page: ComparePage, store: PageStore, cache: StatusCache, answering: Answering) -> None:
        self.page = page
        self.store = store
        self.cache = cache
        self.answering = answering
        self.view = CompareView(page, cache)
        setups = {pane.name: pane.setup for pane in page.panes}
        self.revise = ReviseEvents("compare", setups, cache, store, answering, self.show)
        self.presets = PresetEvents([pane.setup for pane in page.panes], store.presets)

    async def load(self, request: gr.Request, *old: Any) -> Updates:
        """Show the comparison of the tab's address, what `?a=&b=&q=` asks for, the comparison that was asked
        in last, or the default pair."""
        user, query, page = user_in(request), dict(request.query_params), self.page
        await self.cache.look()
        await take_over_comparison(self.store, user, old)
        blind = bool(await self.store.users.setting(user, BLIND))
        found = await _wanted(self.store, user, query)
        count = await self._count(user, found)
        updates = await self.draw(request, found, count) | {page.toolbar.blind: blind}
        if count > FIRST:
            updates |= self.view.layout(count, lang_of(request))
        updates |= await self.presets.load(user, lang_of(request))
        updates |= dict.fromkeys(page.old)
        defaults = default_models(self.cache.models, self.cache.providers, count)
        asked = (query.get("a"), query.get("b"))
        for pane, name, default in zip_longest(page.panes[:count], asked, defaults):
            last = side_of(found, pane.name).last
            chosen = last.setup if last else self.fresh_setup(name or default)
            updates |= pane.setup.show(chosen) if chosen else {}
        models = [updates.get(pane.picker) for pane in page.panes[:count]]
        hidden = hidden_in(found) or (blind and found is None)
        updates |= self.view.status(models, lang_of(request), hidden=hidden)
        return updates | self.view.pickers(models, lang_of(request))

    async def _count(self, user: str, found: Conversation | None) -> int:
        """Panes of a comparison; of none, as many as the user had last."""
        return len(found.sides) if found else shown_count(await self.store.users.setting(user, COUNT))

    def fresh_setup(self, model: str | None) -> Setup | None:
        """What a pane is set to when a model is chosen."""
        return fresh_setup(model, self.cache.find(model)) if model else None

    async def refresh(self, request: gr.Request, screen: Screen) -> Updates:
        """States of the models; the pickers only when their list has changed."""
        await self.cache.look()
        page = self.page
        models = screen.models
        updates: Updates = {}
        if not any(models):
            models = default_models(self.cache.models, self.cache.providers, screen.count)
            for pane, setup in zip(page.panes, map(self.fresh_setup, models), strict=False):
                updates |= pane.setup.show(setup) if setup else {}
        if set(model_ids(self.cache.models, *models)) - set(screen.listed):
            updates |= self.view.pickers(models, lang_of(request), screen.listed)
        return updates | self.view.status(models, lang_of(request), hidden=screen.hidden)

    def picked(self, pane: Pane) -> Listener:
        """Another model was chosen in one pane: its state, and the sliders its kind starts with."""
        at = self.page.panes.index(pane)

        async def handler(request: gr.Request, screen: Screen) -> Updates:
            setup = self.fresh_setup(screen.models[at]) if at < screen.count else None
            updates = self.view.status(screen.models, lang_of(request), hidden=screen.hidden)
            return updates | (pane.setup.show_sampling(setup) if setup else {})

        return with_screen(self.page, handler)

    async def begin(self, request: gr.Request, wanted: ComposedQuestion) -> Updates:
        """Put the question to all sides and begin with the answers, which the page follows by itself."""
        lang, page, user = lang_of(request), self.page, user_in(request)
        question = wanted.question
        if not question:
            return self._refused("ask_question", lang)
        if len(question) > QUESTION_CHARACTERS:
            return self._refused("ask_shorter", lang)
        if len(wanted.context) > QUESTION_CHARACTERS:
            return self._refused("context_shorter", lang)
        chosen = [setup for setup in wanted.setups.values() if setup is not None]
        if len(chosen) < len(wanted.setups):
            return self._refused("ask_model", lang)
        if wanted.shown is None and wanted.blind:
            # The hidden pickers and settings change places as well: a pane always holds its own model's.
            random.shuffle(chosen)
        asking = dict(zip(wanted.setups, chosen, strict=True))
        new = NewQuestion(question, asking, wanted.context, hidden=wanted.blind)
        try:
            written = await self.store.asking.ask(user, "compare", wanted.shown, new)
        except StillAnswering:
            return self._refused("ask_wait_all", lang)
        asked = written.conversation
        updates = page.conversations.draw_history(written.history, asked, lang)
        updates |= self.view.whole(asked, lang)
        updates[page.composer.asked] = asked_words(asked.sides["left"])
        if len(asked.sides) != len(asking):  # somebody has begun it in another tab
            updates |= self.view.layout(len(asked.sides), lang)
        models = [side.turns[-1].setup for side in asked.sides.values()]
        for pane, setup in zip(page.panes, models, strict=False):
            updates |= pane.setup.presets.cleared() if setup != wanted.setups.get(pane.name) else {}
            self.answering.start(asked.sides[pane.name], user, hidden=asked.hidden, rater=written.rater)
            updates |= pane.setup.show(setup)
        return updates | self.view.status([one.model for one in models], lang, hidden=asked.hidden)

    def _refused(self, key: str, lang: Lang) -> Updates:
        tell(text(lang, key))
        return {self.page.composer.send: gr.skip()}

    def retry(self, pane: Pane) -> Listener:
        """Ask one side's last question again, with what its pickers say now."""

        async def handler(request: gr.Request, shown: str | None, chosen: Setup | None) -> Updates:
            lang, user = lang_of(request), user_in(request)
            found = await self.store.conversations.get(user, shown, "compare") if shown else None
            last = side_of(found, pane.name).last
            if found is None or last is None:
                return await self.draw(request, found)
            setup = chosen or last.setup
            try:
                asked = await self.store.conversations.ask_again(user, found.id, pane.name, setup)
            except StillAnswering:
                return self._refused("ask_wait", lang)
            if asked is not None:
                self.answering.start(asked.sides[pane.name], user, hidden=asked.hidden)
            return self.view.side(pane, asked, lang) | self.view.common(asked, lang)

        return with_setup(self.page, pane, self.cache, handler)

    async def settle(self, request: gr.Request, shown: str | None) -> Updates:
        """One side has ended: it can be judged and retried. When all have, buttons and vote row follow."""
        lang = lang_of(request)
        found = await self.store.conversations.get(user_in(request), shown, "compare") if shown else None
        if found is None:
            return {self.page.composer.send: gr.skip()}
        for side in found.sides.values():
            note_answer(self.cache, side)
        if found.running:
            ended = [pane for pane in self.view.panes(found) if not found.sides[pane.name].running]
            updates = _without_marks(self.view.sides(ended, found, lang), ended)
            return updates or {self.page.composer.send: gr.skip()}
        updates = self.view.whole(found, lang) | self.page.conversations.free()
        return _without_marks(updates, self.page.panes)

    async def stop(self, request: gr.Request, shown: str | None) -> Updates:
        """End all answers; the page sees them end and settles."""
        user, kept = user_in(request), self.store.conversations
        found = await kept.get(user, shown, "compare") if shown else None
        if found is not None and not self.answering.stop(found.sides.values()):
            await kept.stop(user, found.id)
        return {self.page.composer.stop: gr.skip()}

    async def clear(self, request: gr.Request, screen: Screen) -> Updates:
        """A new, empty comparison with the same models; the old one is in the list."""
        status = self.view.status(screen.models, lang_of(request), hidden=screen.blind)
        return await self.draw(request, None, screen.count) | status

    async def blind(self, request: gr.Request, screen: Screen) -> Updates:
        """Off shows the names at once; on hides those of the next comparison."""
        user, lang = user_in(request), lang_of(request)
        switch, shown = screen.blind, screen.shown
        await self.store.users.set(user, BLIND, switch)
        if shown and not switch:
            await self.store.conversations.show_names(user, shown)
        found = await self.store.conversations.get(user, shown, "compare") if shown else None
        for side in found.sides.values() if found and not found.hidden else ():
            if side.last is not None:
                self.answering.show_names(side.last.id)
        if switch and found is not None and not found.hidden:
            tell(text(lang, "blind_next"))
        hidden = hidden_in(found) or (switch and found is None)
        status = self.view.status(screen.models, lang, hidden=hidden)
        return self.view.whole(found, lang, screen.count) | status

    async def show(self, request: gr.Request, found: Conversation | None) -> Updates:
        """Another comparison, with the models and settings that it had, or an empty page."""
        found = found if found is not None and found.kind == "compare" else None
        lang, count = lang_of(request), await self._count(user_in(request), found)
        updates = await self.draw(request, found, count) | self.view.layout(count, lang)
        models: list[str | None] = []
        for pane, side in zip(self.page.panes, sides_of(found), strict=False):
            updates |= (pane.setup.show(side.last.setup) | pane.setup.presets.cleared()) if side.last else {}
            models.append(side.last.setup.model if side.last else None)
        if found is not None:
            updates |= self.view.pickers(models, lang)
            updates |= self.view.status(models, lang, hidden=found.hidden)
        return updates

    async def draw(self, request: gr.Request, found: Conversation | None, count: int = FIRST) -> Updates:
        """A comparison, or so many empty panes, and the list of all."""
        user, lang = user_in(request), lang_of(request)
        drawn = await self.page.conversations.draw(self.store.conversations, user, found, lang)
        return drawn | self.view.whole(found, lang, count)


def _without_marks(updates: Updates, panes: Sequence[Pane]) -> Updates:
    """Somebody may rate one side while the other ends: what they have just chosen is not in the store yet."""
    theirs = {part for pane in panes for part in (pane.score, pane.tags, pane.rating_note)}
    return {part: value for part, value in updates.items() if part not in theirs}


async def _wanted(store: PageStore, user: str, query: Mapping[str, str]) -> Conversation | None:
    """The comparison of the address; the newest for an address that asks for none and for no new one."""
    if query.get("c"):
        return await store.conversations.get(user, query["c"], "compare")
    if any(query.get(name) for name in ("a", "b", "q")):
        return None
    return await store.conversations.newest(user, "compare")
