"""채팅 / Chat: what happens on the page."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from webui.answering import Answering
from webui.choices import default_pair, fresh_setup, model_ids
from webui.conversation import QUESTION_CHARACTERS, Setup, Side
from webui.notices import tell
from webui.opinions.words import script_words
from webui.pages.chat.layout import ChatPage
from webui.pages.conversation_list import ListEvents
from webui.pages.parts import (
    Updates,
    clear_composer,
    keep_address,
    lang_of,
    note_answer,
    on,
    open_composer,
    refresh_on_return,
    stop_on_escape,
    ticking,
    user_in,
)
from webui.pages.takeover import take_over_chats
from webui.render import banner, chip, transcript
from webui.status_cache import StatusCache
from webui.store.conversations import Conversation, StillAnswering
from webui.store.page_store import PageStore
from webui.texts import Lang, text

PANE = "chat"
"""The one pane of a chat."""


class ChatEvents:
    """The listeners of one page. The store holds every conversation, the page the id of the one it shows."""

    def __init__(self, page: ChatPage, store: PageStore, cache: StatusCache, answering: Answering) -> None:
        self.page = page
        self.store = store
        self.cache = cache
        self.answering = answering

    def wire(self, demo: gr.Blocks) -> None:
        """Attach every listener of the page."""
        page, shown = self.page, self.page.conversations.shown
        buttons = [page.send, page.stop, page.retry, page.undo, page.new]
        asked = [page.chat, *buttons, *page.conversations.drawn]
        whole = [page.chat, *buttons, *page.conversations.all, *page.setup.all]
        status, lists = [page.banner, page.chip, page.timer], [page.setup.picker, page.model_list]
        refreshed = [*status, *lists, *page.setup.sampling]
        keep_address(shown)
        loaded = on(demo.load, self.load, [page.old], [*whole, *status, page.model_list, page.old])
        open_composer(loaded, page.question)
        refresh_on_return(demo, "chat")
        stop_on_escape(demo, "chat")
        on([page.timer.tick, page.refresh.click], self.refresh, lists, refreshed)
        on(page.setup.picker.input, self.picked, [page.setup.picker], [*status, *page.setup.sampling])
        ListEvents(page.conversations, self.store.conversations, self.show).wire(whole)
        begun = on([page.question.submit, page.send.click], self.begin,
                   {page.question, shown, *page.setup.all}, [*asked, page.asked])  # fmt: skip
        clear_composer(begun, page.asked, page.question)
        on(page.retry.click, self.retry, {shown, *page.setup.all}, asked)
        settled = on(page.settled.click, self.settle, [shown], asked, trigger_mode="always_last")
        on(settled.then, self.refresh, lists, refreshed)
        on(page.stop.click, self.stop, [shown], asked)
        on(page.undo.click, self.undo, [shown, page.question], [*asked, page.question])
        on(page.new.click, self.new, [], asked)

    async def load(self, request: gr.Request, old: Any) -> Updates:
        """Show the conversation of the tab's address, or the one that was asked in last."""
        user, lang, wanted = user_in(request), lang_of(request), request.query_params.get("c")
        await self.cache.look()
        await take_over_chats(self.store, user, old)
        kept = self.store.conversations
        found = await kept.get(user, wanted) if wanted else await kept.newest(user, "chat")
        updates = await self.show(request, found) | {self.page.old: None}
        side = found.sides[PANE] if found else Side()
        model = side.last.setup.model if side.last else self._default_model()
        if side.last is None and model is not None:
            updates |= self._sliders(model)
        return updates | self._status(model, lang) | self._picker(model)

    async def refresh(self, request: gr.Request, model: str | None, listed: list[str]) -> Updates:
        """State of the model; the picker only when the list has changed."""
        await self.cache.look()
        updates: Updates = {}
        if model is None:
            model = self._default_model()
            updates = self._sliders(model)
        if set(model_ids(self.cache.models, model)) - set(listed):
            updates |= self._picker(model, listed)
        return updates | self._status(model, lang_of(request))

    async def picked(self, request: gr.Request, model: str | None) -> Updates:
        """Another model was chosen."""
        return self._status(model, lang_of(request)) | self._sliders(model)

    async def begin(self, request: gr.Request, values: Mapping[Any, Any]) -> Updates:
        """Add the question and begin with its answer, which the page follows by itself."""
        lang, setup = lang_of(request), self.page.setup.read(values, self.cache)
        question = str(values[self.page.question] or "").strip()
        if not question:
            return self._refused("ask_question", lang)
        if len(question) > QUESTION_CHARACTERS:
            return self._refused("ask_shorter", lang)
        if setup is None:
            return self._refused("ask_one_model", lang)
        shown = values[self.page.conversations.shown] or None
        try:
            asked = await self.store.conversations.ask(
                user_in(request), "chat", shown, question, {PANE: setup}
            )
        except StillAnswering:
            return self._refused("ask_wait", lang)
        self.answering.start(asked.sides[PANE], user_in(request))
        taken = {"id": asked.sides[PANE].turns[-1].id, "question": question}
        return await self._whole(request, asked) | {self.page.asked: taken}

    async def retry(self, request: gr.Request, values: Mapping[Any, Any]) -> Updates:
        """Ask the last question again, with what the picker says now."""
        user, shown = user_in(request), values[self.page.conversations.shown]
        found = await self.store.conversations.get(user, shown) if shown else None
        if found is None or found.sides[PANE].last is None:
            return await self._whole(request, found)
        setup: Setup = self.page.setup.read(values, self.cache) or found.sides[PANE].turns[-1].setup
        try:
            asked = await self.store.conversations.ask_again(user, found.id, PANE, setup)
        except StillAnswering:
            return self._refused("ask_wait", lang_of(request))
        if asked is not None:
            self.answering.start(asked.sides[PANE], user_in(request))
        return await self._whole(request, asked)

    async def settle(self, request: gr.Request, shown: str | None) -> Updates:
        """The answer has ended: buttons and list follow."""
        found = await self.store.conversations.get(user_in(request), shown) if shown else None
        if found is None:
            return {self.page.stop: gr.skip()}
        note_answer(self.cache, found.sides[PANE])
        # The list is left alone: somebody may be typing another title while the answer ends.
        freed = {} if found.running else self.page.conversations.free()
        return self._answer(request, found) | freed

    async def stop(self, request: gr.Request, shown: str | None) -> Updates:
        """End the answer; the page sees it end and settles."""
        user = user_in(request)
        found = await self.store.conversations.get(user, shown) if shown else None
        if found is not None and not self.answering.stop(found.sides.values()):
            await self.store.conversations.stop(user, found.id)
        return {self.page.stop: gr.skip()}

    async def undo(self, request: gr.Request, shown: str | None, typed: str | None) -> Updates:
        """Take the last question back into the box, before what is typed there."""
        user = user_in(request)
        found = await self.store.conversations.get(user, shown) if shown else None
        last = found.sides[PANE].last if found else None
        if found is None or last is None:
            return {self.page.stop: gr.skip()}
        try:
            left = await self.store.conversations.withdraw(user, found.id)
        except StillAnswering:
            return self._refused("ask_wait", lang_of(request))
        return await self._whole(request, left) | {
            self.page.question: "\n".join(filter(None, [last.question, typed]))
        }

    async def new(self, request: gr.Request) -> Updates:
        """Start a conversation; the old one is in the list."""
        return await self._whole(request, None)

    async def show(self, request: gr.Request, found: Conversation | None) -> Updates:
        """Another conversation, with the model and settings that it had, or an empty page."""
        last = found.sides[PANE].last if found else None
        return await self._whole(request, found) | (self.page.setup.show(last.setup) if last else {})

    async def _whole(self, request: gr.Request, found: Conversation | None) -> Updates:
        drawn = await self.page.conversations.draw(self.store.conversations, user_in(request), found)
        return drawn | self._answer(request, found)

    def _answer(self, request: gr.Request, found: Conversation | None) -> Updates:
        page, lang = self.page, lang_of(request)
        side = found.sides[PANE] if found else Side()
        free, begun = not side.running, bool(side.turns)
        return {
            page.chat: transcript(
                "chat", "chat", side, text(lang, "conversation"), hidden=False, opinion=script_words(lang)
            ),
            page.send: gr.update(visible=free),
            page.stop: gr.update(visible=not free),
            page.retry: gr.update(visible=free and begun),
            page.undo: gr.update(visible=free and begun),
            page.new: gr.update(interactive=free and begun),
        }

    def _refused(self, key: str, lang: Lang) -> Updates:
        tell(text(lang, key))
        return {self.page.stop: gr.skip()}

    def _default_model(self) -> str | None:
        return default_pair(self.cache.models, self.cache.providers)[1]

    def _sliders(self, model: str | None) -> Updates:
        if model is None:
            return {}
        return self.page.setup.show_sampling(fresh_setup(model, self.cache.find(model)))

    def _status(self, model: str | None, lang: Lang) -> Updates:
        return {
            self.page.banner: banner(self.cache, lang),
            self.page.chip: chip(self.cache, model, lang),
            self.page.timer: ticking(self.cache, model),
        }

    def _picker(self, model: str | None, listed: Sequence[str] = ()) -> Updates:
        names = model_ids(self.cache.models, model, *listed)
        choices: list[Any] = [(name, name) for name in names]
        return {self.page.setup.picker: gr.update(choices=choices, value=model), self.page.model_list: names}
