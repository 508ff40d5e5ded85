"""The list of a user's conversations: search, open, rename, pin, delete and take the deletion back."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from webui.pages.parts import Updates, lang_of, on, user_in
from webui.render import both
from webui.store.conversations import Conversation, Conversations, Kind
from webui.store.page_store import PageStore
from webui.texts import MESSAGES, text

Show = Callable[[gr.Request, Conversation | None], Awaitable[Updates]]
"""Draws a conversation, or an empty page."""


@dataclass(frozen=True)
class ConversationList:
    """The components, with `shown`, which holds the id of the conversation on the screen."""

    kind: Kind
    shown: gr.Textbox
    search: gr.Textbox
    history: gr.Radio
    title: gr.Textbox
    pin: gr.Checkbox
    delete: gr.Button
    share: gr.Button
    share_end: gr.Button
    share_note: gr.HTML
    """The address under which others see the conversation on the screen."""
    deleted_note: gr.HTML
    deleted: gr.Textbox
    """Id of the conversation that was deleted last."""
    restore: gr.Button

    @property
    def all(self) -> list[Any]:
        return [
            self.shown,
            self.search,
            self.history,
            self.title,
            self.pin,
            self.delete,
            *self.sharing,
            self.deleted_note,
            self.deleted,
            self.restore,
        ]

    @property
    def drawn(self) -> list[Any]:
        """What `draw` changes."""
        return [self.shown, self.search, self.history, self.title, self.pin, self.delete, *self.sharing]

    @property
    def sharing(self) -> list[Any]:
        return [self.share, self.share_end, self.share_note]

    async def draw(
        self, conversations: Conversations, user: str, shown: Conversation | None, search: str = ""
    ) -> Updates:
        """The list with `shown` chosen in it."""
        found = await conversations.listed(user, self.kind, search)
        choices: list[Any] = [(f"📌 {line.title}" if line.pinned else line.title, line.id) for line in found]
        chosen = shown.id if shown is not None and any(line.id == shown.id for line in found) else None
        # While an answer comes in, the conversation on the screen stays the one it belongs to.
        free, any_kept = shown is None or not shown.running, bool(found) or bool(search.strip())
        return {
            self.shown: shown.id if shown else "",
            self.search: gr.update(visible=any_kept),
            self.history: gr.update(choices=choices, value=chosen, visible=bool(found), interactive=free),
            self.title: gr.update(value=shown.title if shown else "", visible=shown is not None),
            self.pin: gr.update(value=bool(shown and shown.pinned), visible=shown is not None),
            self.delete: gr.update(visible=shown is not None, interactive=free),
        } | self.draw_share(shown.share if shown else None, begun=shown is not None)

    def draw_share(self, word: str | None, *, begun: bool) -> Updates:
        """Whether the conversation on the screen is shared, and where."""
        hint = both(*MESSAGES["share_note"])
        note = f'<kd-share word="{escape(word)}"></kd-share><p class="kd-small">{hint}</p>' if word else ""
        return {
            self.share: gr.update(visible=begun),
            self.share_end: gr.update(visible=word is not None),
            self.share_note: note,
        }

    def free(self) -> Updates:
        """No answer comes in any more: another conversation may be put on the screen."""
        return {self.history: gr.update(interactive=True), self.delete: gr.update(interactive=True)}


def conversation_list(t: gr.I18n, kind: Kind, shown: gr.Textbox) -> ConversationList:
    """Lay it out."""
    search = gr.Textbox(
        label=t("search"), placeholder=t("search_hint"), visible=False, elem_id=f"{kind}-search"
    )
    history = gr.Radio([], label=t("history"), visible=False, elem_id=f"{kind}-history")
    title = gr.Textbox(label=t("title"), max_length=200, visible=False, elem_id=f"{kind}-title")
    with gr.Row(elem_classes="kd-actions"):
        pin = gr.Checkbox(label=t("pin"), container=False, visible=False, elem_id=f"{kind}-pin")
        delete = gr.Button(t("delete_chat"), size="sm", visible=False, elem_id=f"{kind}-delete")
        share = gr.Button(t("share"), size="sm", visible=False, elem_id=f"{kind}-share")
        share_end = gr.Button(t("share_end"), size="sm", visible=False, elem_id=f"{kind}-share-end")
    return ConversationList(
        kind=kind,
        shown=shown,
        search=search,
        history=history,
        title=title,
        pin=pin,
        delete=delete,
        share=share,
        share_end=share_end,
        share_note=gr.HTML(elem_id=f"{kind}-share-note"),
        deleted_note=gr.HTML(elem_id=f"{kind}-deleted"),
        deleted=gr.Textbox("", visible="hidden"),
        restore=gr.Button(t("restore"), size="sm", visible=False, elem_id=f"{kind}-restore"),
    )


class ListEvents:
    """What happens on the list."""

    def __init__(self, parts: ConversationList, store: PageStore, show: Show) -> None:
        self.parts = parts
        self.conversations = store.conversations
        self.shares = store.shares
        self.show = show

    def wire(self, whole: Sequence[Any]) -> list[Any]:
        """Attach the listeners; `whole` is what `show` draws. Returns those that put another conversation on
        the screen, whose answer may be on its way."""
        parts = self.parts
        on([parts.search.input], self.searched, [parts.search, parts.shown], [parts.history],
           trigger_mode="always_last")  # fmt: skip
        on([parts.title.submit, parts.title.blur], self.renamed, [parts.shown, parts.title, parts.search],
           [parts.history])  # fmt: skip
        on(parts.pin.input, self.pinned, [parts.shown, parts.pin, parts.search], [parts.history])
        on(parts.delete.click, self.delete, [parts.shown], whole)
        on(parts.share.click, self.share, [parts.shown], parts.sharing)
        on(parts.share_end.click, self.end_share, [parts.shown], parts.sharing)
        return [
            on(parts.history.input, self.open, [parts.history], whole),
            on(parts.restore.click, self.restore, [parts.deleted], whole),
        ]

    async def searched(self, request: gr.Request, search: str | None, shown: str | None) -> Updates:
        """List what holds the words; the search box stays."""
        return await self._listed(user_in(request), shown, search)

    async def renamed(
        self, request: gr.Request, shown: str | None, title: str | None, search: str | None
    ) -> Updates:
        """Give the conversation on the screen another title."""
        user = user_in(request)
        if shown and title:
            await self.conversations.rename(user, shown, title)
        return await self._listed(user, shown, search)

    async def pinned(
        self, request: gr.Request, shown: str | None, pinned: bool, search: str | None
    ) -> Updates:
        """Hold the conversation on the screen at the top, or let it go."""
        user = user_in(request)
        if shown:
            await self.conversations.pin(user, shown, pinned=bool(pinned))
        return await self._listed(user, shown, search)

    async def open(self, request: gr.Request, chosen: str | None) -> Updates:
        """Show another conversation."""
        found = await self.conversations.get(user_in(request), chosen) if chosen else None
        return await self.show(request, found)

    async def delete(self, request: gr.Request, shown: str | None) -> Updates:
        """Delete the conversation on the screen at once: the button that appears brings it back."""
        user, parts = user_in(request), self.parts
        found = await self.conversations.get(user, shown) if shown else None
        if found is None:
            return await self.show(request, None)
        await self.conversations.delete(user, found.id)
        note = gr.update(value=text(lang_of(request), "deleted", title=_escaped(found.title)))
        return await self.show(request, None) | {
            parts.deleted: found.id,
            parts.deleted_note: note,
            parts.restore: gr.update(visible=True),
        }

    async def restore(self, request: gr.Request, deleted: str | None) -> Updates:
        """Bring back what was deleted last."""
        parts = self.parts
        found = await self.conversations.restore(user_in(request), deleted) if deleted else None
        return await self.show(request, found) | {
            parts.deleted: "",
            parts.deleted_note: "",
            parts.restore: gr.update(visible=False),
        }

    async def share(self, request: gr.Request, shown: str | None) -> Updates:
        """Show others the conversation as it stands on the screen."""
        word = await self.shares.share(user_in(request), shown) if shown else None
        return self.parts.draw_share(word, begun=bool(shown))

    async def end_share(self, request: gr.Request, shown: str | None) -> Updates:
        """Show it nobody any more."""
        if shown:
            await self.shares.take_back(user_in(request), shown)
        return self.parts.draw_share(None, begun=bool(shown))

    async def _listed(self, user: str, shown: str | None, search: str | None) -> Updates:
        found = await self.conversations.get(user, shown) if shown else None
        drawn = await self.parts.draw(self.conversations, user, found, search or "")
        return {self.parts.history: drawn[self.parts.history] | {"visible": True}}


def _escaped(title: str) -> str:
    return f"<bdi>{escape(title)}</bdi>"
