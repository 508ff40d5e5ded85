"""채팅 / Chat: what happens on the page."""

from collections.abc import Mapping
from typing import Any

import gradio as gr

from webui.answering import Answering
from webui.choices import model_ids
from webui.conversation import QUESTION_CHARACTERS, Setup, Side
from webui.notices import tell
from webui.pages.chat.layout import PANE, ChatPage
from webui.pages.chat.view import ChatView
from webui.pages.parts import (
    Updates,
    asked_words,
    lang_of,
    names_in,
    note_answer,
    user_in,
)
from webui.pages.preset_events import PresetEvents
from webui.pages.revise import ReviseEvents
from webui.pages.takeover import take_over_chats
from webui.status_cache import StatusCache
from webui.store.conversations import Conversation, NewQuestion, StillAnswering
from webui.store.files import MOST_FILES, FileGone, ImagesTooLarge, NoImages
from webui.store.page_store import PageStore
from webui.texts import Lang, text

REFUSALS: Mapping[type[Exception], str] = {
    StillAnswering: "ask_wait",
    FileGone: "file_gone",
    NoImages: "ask_no_images",
    ImagesTooLarge: "ask_images_large",
}
"""Why a question is not asked -> the name of the sentence that says so."""


class ChatEvents:
    """The listeners of one page. The store holds every conversation, the page the id of the one it shows."""

    def __init__(self, page: ChatPage, store: PageStore, cache: StatusCache, answering: Answering) -> None:
        self.page = page
        self.store = store
        self.cache = cache
        self.answering = answering
        self.view = ChatView(page, cache)
        self.revise = ReviseEvents("chat", {PANE: page.setup}, cache, store, answering, self.show)
        self.presets = PresetEvents([page.setup], store.presets)

    async def load(self, request: gr.Request, old: Any) -> Updates:
        """Show the conversation of the tab's address, or the one that was asked in last."""
        user, lang, wanted = user_in(request), lang_of(request), request.query_params.get("c")
        await self.cache.look()
        await take_over_chats(self.store, user, old)
        kept = self.store.conversations
        found = await kept.get(user, wanted, "chat") if wanted else await kept.newest(user, "chat")
        updates = await self.show(request, found) | {self.page.old: None}
        updates |= await self.presets.load(user, lang)
        side = found.sides[PANE] if found else Side()
        model = side.last.setup.model if side.last else self.view.default_model()
        if side.last is None and model is not None:
            updates |= self.view.sliders(model)
        return updates | self.view.status(model, lang) | self.view.picker(model)

    async def refresh(self, request: gr.Request, model: str | None, said: object) -> Updates:
        """State of the model; the picker only when the list has changed."""
        await self.cache.look()
        listed = names_in(said)
        updates: Updates = {}
        if model is None:
            model = self.view.default_model()
            updates = self.view.sliders(model)
        if set(model_ids(self.cache.models, model)) - set(listed):
            updates |= self.view.picker(model, listed)
        return updates | self.view.status(model, lang_of(request))

    async def picked(self, request: gr.Request, model: str | None) -> Updates:
        """Another model was chosen."""
        return self.view.status(model, lang_of(request)) | self.view.sliders(model)

    async def begin(self, request: gr.Request, values: Mapping[Any, Any]) -> Updates:
        """Add the question and begin with its answer, which the page follows by itself."""
        lang, setup = lang_of(request), self.page.setup.read(values, self.cache)
        composer, files = self.page.composer, values[self.page.attached] or []
        question, context = (str(values[box] or "").strip() for box in (composer.question, composer.context))
        if (wrong := _what_is_wrong(question, context, files)) is not None:
            return self._refused(wrong, lang)
        if setup is None:
            return self._refused("ask_one_model", lang)
        shown, user = values[self.page.conversations.shown] or None, user_in(request)
        new = NewQuestion(question, {PANE: setup}, context, [str(file) for file in files])
        try:
            asked = await self.store.asking.ask(user, "chat", shown, new)
        except tuple(REFUSALS) as error:
            return self._refused(REFUSALS[type(error)], lang, model=setup.model)
        found, side = asked.conversation, asked.conversation.sides[PANE]
        self.answering.start(side, user, rater=asked.rater)
        drawn = self.page.conversations.draw_history(asked.history, found, lang)
        return drawn | self.view.conversation(found, lang) | {composer.asked: asked_words(side)}

    async def retry(self, request: gr.Request, values: Mapping[Any, Any]) -> Updates:
        """Ask the last question again, with what the picker says now."""
        user, shown = user_in(request), values[self.page.conversations.shown]
        found = await self.store.conversations.get(user, shown, "chat") if shown else None
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
        found = await self.store.conversations.get(user_in(request), shown, "chat") if shown else None
        if found is None:
            return {self.page.composer.stop: gr.skip()}
        note_answer(self.cache, found.sides[PANE])
        # The list is left alone: somebody may be typing another title while the answer ends.
        freed = {} if found.running else self.page.conversations.free()
        return self.view.conversation(found, lang_of(request)) | freed

    async def stop(self, request: gr.Request, shown: str | None) -> Updates:
        """End the answer; the page sees it end and settles."""
        user = user_in(request)
        found = await self.store.conversations.get(user, shown, "chat") if shown else None
        if found is not None and not self.answering.stop(found.sides.values()):
            await self.store.conversations.stop(user, found.id)
        return {self.page.composer.stop: gr.skip()}

    async def undo(
        self, request: gr.Request, shown: str | None, typed: str | None, context: str | None
    ) -> Updates:
        """Take the last question back into the box, before what is typed there, and its context."""
        user = user_in(request)
        found = await self.store.conversations.get(user, shown, "chat") if shown else None
        last = found.sides[PANE].last if found else None
        if found is None or last is None:
            return {self.page.composer.stop: gr.skip()}
        try:
            left = await self.store.conversations.withdraw(user, found.id)
        except StillAnswering:
            return self._refused("ask_wait", lang_of(request))
        return await self._whole(request, left) | {
            self.page.composer.question: "\n".join(filter(None, [last.question, typed])),
            self.page.composer.context: last.context or context,
            self.page.returned: [file.model_dump(include={"id", "kind", "name"}) for file in last.files],
        }

    async def new(self, request: gr.Request) -> Updates:
        """Start a conversation; the old one is in the list."""
        return await self._whole(request, None)

    async def show(self, request: gr.Request, found: Conversation | None) -> Updates:
        """Another conversation, with the model and settings that it had, or an empty page."""
        found = found if found is not None and found.kind == "chat" else None
        last = found.sides[PANE].last if found else None
        updates = await self._whole(request, found)
        return (
            updates | self.page.setup.show(last.setup) | self.page.setup.presets.cleared()
            if last
            else updates
        )

    async def _whole(self, request: gr.Request, found: Conversation | None) -> Updates:
        lang, kept = lang_of(request), self.store.conversations
        drawn = await self.page.conversations.draw(kept, user_in(request), found, lang)
        return drawn | self.view.conversation(found, lang)

    def _refused(self, key: str, lang: Lang, **values: str) -> Updates:
        tell(text(lang, key, **values))
        return {self.page.composer.stop: gr.skip()}


def _what_is_wrong(question: str, context: str, files: Any) -> str | None:
    """The name of a sentence on a question that cannot go out."""
    if not question:
        return "ask_question"
    if len(question) > QUESTION_CHARACTERS:
        return "ask_shorter"
    if len(context) > QUESTION_CHARACTERS:
        return "context_shorter"
    if not isinstance(files, list):
        return "ask_files"
    return "files_most" if len(files) > MOST_FILES else None
