"""채팅 / Chat: what happens on the page."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import gradio as gr

from webui.answering import Runs, answer
from webui.choices import default_pair, fresh_setup, model_ids
from webui.conversation import QUESTION_CHARACTERS, Side, dump
from webui.gateway_client import GatewayClient
from webui.pages.chat.layout import ChatPage
from webui.pages.chat.log import ChatLog, load_log
from webui.pages.parts import (
    Updates,
    lang_of,
    note_answer,
    on,
    refresh_on_return,
    setup_of,
    setup_values,
    ticking,
)
from webui.render import banner, chat_messages, chip, failure_card, metrics_line
from webui.status_cache import StatusCache
from webui.texts import Lang, text


class ChatEvents:
    """The listeners of one page. The browser holds every conversation."""

    def __init__(self, page: ChatPage, client: GatewayClient, cache: StatusCache, runs: Runs) -> None:
        self.page = page
        self.client = client
        self.cache = cache
        self.runs = runs

    def wire(self, demo: gr.Blocks) -> None:
        """Attach every listener of the page."""
        page = self.page
        buttons = [page.send, page.stop, page.retry, page.undo, page.history, page.new, page.delete]
        whole = [page.chat, page.metrics, page.notice, *buttons, page.store]
        status, lists = [page.banner, page.chip, page.timer], [page.picker, page.model_list]
        on(demo.load, self.load, [page.store], [*whole, *status, *page.setup, page.model_list])
        refresh_on_return(demo, "chat")
        on([page.timer.tick, page.refresh.click], self.refresh, lists, [*status, *lists, *page.setup[2:]])
        on(page.picker.input, self.picked, [page.picker], [*status, *page.setup[2:]])
        asked = [
            on([page.question.submit, page.send.click], self.begin, [page.question, page.store, *page.setup],
               [*whole, page.question]),
            on(page.retry.click, self.retry, [page.store, *page.setup], whole),
        ]  # fmt: skip
        for begun in asked:
            fetched = on(begun.then, self.fetch, [page.store], whole)
            on(fetched.then, self.refresh, lists, [*status, *lists, *page.setup[2:]])
        on(page.stop.click, self.stop, [page.store], whole)
        on(page.undo.click, self.undo, [page.store], [*whole, page.question])
        on(page.history.input, self.open, [page.store, page.history], [*whole, *page.setup])
        on(page.new.click, self.new, [page.store], whole)
        on(page.delete.click, self.delete, [page.store], whole)

    async def load(self, request: gr.Request, stored: Any) -> Updates:
        """Show the conversation that was on the screen last."""
        lang, log = lang_of(request), load_log(stored)
        if log.side.running:
            log = log.with_side(log.side.interrupted())
        updates = self._whole(log, lang)
        model = self._default_model()
        if log.side.last is not None:
            model = log.side.last.setup.model
            updates |= dict(zip(self.page.setup, setup_values(log.side.last.setup), strict=True))
        elif model is not None:
            updates |= self._sliders(model)
        return updates | self._status(model, lang) | self._picker(model)

    async def refresh(self, request: gr.Request, model: str | None, listed: list[str]) -> Updates:
        """State of the model, from memory; the picker only when the list has changed."""
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

    async def begin(self, request: gr.Request, question: str | None, stored: Any, *values: Any) -> Updates:
        """Add the question; the listener after this one fetches the answer."""
        lang, log, setup = lang_of(request), load_log(stored), setup_of(values, self.cache)
        question = (question or "").strip()
        if log.side.running:
            return self._refused("ask_wait", lang)
        if not question:
            return self._refused("ask_question", lang)
        if len(question) > QUESTION_CHARACTERS:
            return self._refused("ask_shorter", lang)
        if setup is None:
            return self._refused("ask_one_model", lang)
        return self._announce(log.with_side(log.side.ask(question, setup)), lang) | {self.page.question: ""}

    async def retry(self, request: gr.Request, stored: Any, *values: Any) -> Updates:
        """Ask the last question again, with what the picker says now."""
        lang, log, setup = lang_of(request), load_log(stored), setup_of(values, self.cache)
        if log.side.last is None or log.side.running:
            return self._refused("ask_wait", lang)
        return self._announce(log.with_side(log.side.ask_again(setup or log.side.last.setup)), lang)

    async def fetch(self, request: gr.Request, stored: Any) -> AsyncGenerator[Updates, None]:
        """The answer as it grows."""
        lang, log = lang_of(request), load_log(stored)
        async for side, waited_s in answer(self.client, log.side, self.runs):
            note_answer(self.cache, side)
            yield (
                self._answer(side, waited_s, lang) if side.running else self._whole(log.with_side(side), lang)
            )

    async def stop(self, request: gr.Request, stored: Any) -> Updates:
        """End the answer; its listener closes it, or this does when it has none any more."""
        log = load_log(stored)
        if log.side.last is None or self.runs.stop(log.side.last.id):
            return {self.page.stop: gr.skip()}
        return self._whole(log.with_side(log.side.interrupted()), lang_of(request))

    async def undo(self, request: gr.Request, stored: Any) -> Updates:
        """Take the last question back into the box."""
        log = load_log(stored)
        if log.side.last is None or log.side.running:
            return self._refused("ask_wait", lang_of(request))
        question = log.side.last.question
        return self._whole(log.with_side(log.side.without_last()), lang_of(request)) | {
            self.page.question: question
        }

    async def open(self, request: gr.Request, stored: Any, chat_id: str | None) -> Updates:
        """Show another conversation."""
        log = load_log(stored).opened(chat_id)
        updates = self._whole(log, lang_of(request))
        if log.side.last is not None:
            updates |= dict(zip(self.page.setup, setup_values(log.side.last.setup), strict=True))
        return updates

    async def new(self, request: gr.Request, stored: Any) -> Updates:
        """Start a conversation."""
        return self._whole(load_log(stored).opened(None), lang_of(request))

    async def delete(self, request: gr.Request, stored: Any) -> Updates:
        """Delete the conversation on the screen."""
        log = load_log(stored)
        return self._whole(log.without(log.current), lang_of(request))

    def _announce(self, log: ChatLog, lang: Lang) -> Updates:
        if log.side.last is not None:
            self.runs.announce(log.side.last.id)
        return self._whole(log, lang)

    def _refused(self, key: str, lang: Lang) -> Updates:
        gr.Warning(text(lang, key), title="")
        return {self.page.stop: gr.skip()}

    def _answer(self, side: Side, waited_s: float, lang: Lang) -> Updates:
        turn = side.last
        return {
            self.page.chat: chat_messages(side, lang),
            self.page.metrics: metrics_line(turn, waited_s, lang),
            self.page.notice: failure_card(turn.failure if turn else None, lang, names_hidden=False),
        }

    def _whole(self, log: ChatLog, lang: Lang) -> Updates:
        page, side = self.page, log.side
        # While an answer comes in, the conversation on the screen stays the one it belongs to.
        free, begun = not side.running, bool(side.turns)
        choices: list[Any] = [(chat.title, chat.id) for chat in log.chats]
        return self._answer(side, 0.0, lang) | {
            page.store: dump(log),
            page.send: gr.update(visible=free),
            page.stop: gr.update(visible=not free),
            page.retry: gr.update(visible=free and begun),
            page.undo: gr.update(visible=free and begun),
            page.history: gr.update(
                choices=choices, value=log.current if begun else None, visible=bool(choices), interactive=free
            ),
            page.new: gr.update(interactive=free and begun),
            page.delete: gr.update(visible=begun, interactive=free),
        }

    def _default_model(self) -> str | None:
        return default_pair(self.cache.models, self.cache.providers)[1]

    def _sliders(self, model: str | None) -> Updates:
        if model is None:
            return {}
        values = setup_values(fresh_setup(model, self.cache.find(model)))
        return dict(zip(self.page.setup[2:], values[2:], strict=True))

    def _status(self, model: str | None, lang: Lang) -> Updates:
        return {
            self.page.banner: banner(self.cache, lang),
            self.page.chip: chip(self.cache, model, lang),
            self.page.timer: ticking(self.cache, model),
        }

    def _picker(self, model: str | None, listed: Sequence[str] = ()) -> Updates:
        names = model_ids(self.cache.models, model, *listed)
        choices: list[Any] = [(name, name) for name in names]
        return {self.page.picker: gr.update(choices=choices, value=model), self.page.model_list: names}
