"""The list of a user's conversations: search, open, rename, pin, delete and take the deletion back."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from webui.pages.folders import FolderEvents, FolderParts, folder_parts
from webui.pages.history_html import history_html
from webui.pages.page_events import PageEvents
from webui.pages.parts import Updates, lang_of, on, user_in
from webui.render import both
from webui.store.conversations import Conversation, Conversations, Kind
from webui.store.history import History
from webui.store.page_store import PageStore
from webui.texts import MESSAGES, Lang, text

Show = Callable[[gr.Request, Conversation | None], Awaitable[Updates]]
"""Draws a conversation, or an empty page."""


@dataclass(frozen=True)
class ConversationList:
    """The components, with `shown`, which holds the id of the conversation on the screen."""

    kind: Kind
    shown: gr.Textbox
    search: gr.Textbox
    history: gr.HTML
    chosen: gr.JSON
    """Id of the conversation that was chosen in the list."""
    open: gr.Button
    """What the script of the list presses then."""
    folders: FolderParts | None
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
            *self._of_folders,
            self.deleted_note,
            self.deleted,
            self.restore,
        ]

    @property
    def drawn(self) -> list[Any]:
        """What `draw` changes."""
        parts = [self.shown, self.search, self.history, self.title, self.pin, self.delete]
        return [*parts, *self.sharing, *self._of_folders]

    @property
    def _of_folders(self) -> list[Any]:
        return self.folders.drawn if self.folders else []

    @property
    def sharing(self) -> list[Any]:
        return [self.share, self.share_end, self.share_note]

    async def draw(
        self,
        conversations: Conversations,
        user: str,
        shown: Conversation | None,
        lang: Lang,
        search: str = "",
    ) -> Updates:
        """The list with `shown` chosen in it."""
        return self.draw_history(await conversations.history(user, self.kind, search), shown, lang, search)

    def draw_history(
        self, found: History, shown: Conversation | None, lang: Lang, search: str = ""
    ) -> Updates:
        """The same of a list that has been read already."""
        searched = bool(search.strip())
        chosen = shown.id if shown is not None else None
        history = history_html(self.kind, found, chosen, lang, empty=not searched)
        # While an answer comes in, the conversation on the screen stays the one it belongs to.
        free = shown is None or not shown.running
        drawn = {
            self.shown: shown.id if shown else "",
            self.search: gr.update(value=search, visible=bool(found.lines) or searched),
            self.history: gr.update(value=history, elem_classes=_list_classes(free=free)),
            self.title: gr.update(value=shown.title if shown else "", visible=shown is not None),
            self.pin: gr.update(value=bool(shown and shown.pinned), visible=shown is not None),
            self.delete: gr.update(visible=shown is not None, interactive=free),
        } | self.draw_share(shown.share if shown else None, begun=shown is not None)
        if self.folders:
            within = shown.folder if shown else None
            drawn |= self.folders.draw(found.folders, within, lang, begun=shown is not None)
        return drawn

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
        freed = gr.update(elem_classes=_list_classes(free=True))
        return {self.history: freed, self.delete: gr.update(interactive=True)}


def _list_classes(*, free: bool) -> list[str]:
    return ["kd-history"] if free else ["kd-history", "kd-held"]


def conversation_list(t: gr.I18n, kind: Kind, shown: gr.Textbox) -> ConversationList:
    """Lay it out."""
    search = gr.Textbox(
        label=t("search"), placeholder=t("search_hint"), visible=False, elem_id=f"{kind}-search"
    )
    history = gr.HTML(elem_id=f"{kind}-history", elem_classes=_list_classes(free=True), padding=False)
    folders = folder_parts(t) if kind == "chat" else None
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
        chosen=gr.JSON(None, visible="hidden"),
        open=gr.Button(visible="hidden", elem_id=f"{kind}-open"),
        folders=folders,
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
        self.store = store
        self.conversations = store.conversations
        self.shares = store.shares
        self.show = show

    def wire(self, served: PageEvents, whole: Sequence[Any]) -> None:
        """Attach the listeners; `whole` is what `show` draws."""
        parts, kind = self.parts, self.parts.kind
        # Not `input`: Gradio tells of that by the key pressed, and a Korean input method's are none to it.
        on([parts.search.change], self.searched, [parts.search, parts.shown], [parts.history],
           trigger_mode="always_last")  # fmt: skip
        on([parts.title.submit, parts.title.blur], self.renamed, [parts.shown, parts.title, parts.search],
           [parts.history])  # fmt: skip
        on(parts.pin.input, self.pinned, [parts.shown, parts.pin, parts.search], [parts.history])
        served.on(f"{kind}-delete", parts.delete.click, self.delete, [parts.shown], whole, draws=True)
        on(parts.share.click, self.share, [parts.shown], parts.sharing)
        on(parts.share_end.click, self.end_share, [parts.shown], parts.sharing)
        if parts.folders:
            events = FolderEvents(parts.folders, self.store, self.redraw)
            events.wire(parts.shown, parts.search, [parts.history])
        opened, chosen = parts.open.click, "[window.kodolly.chosen]"
        served.on(f"{kind}-open", opened, self.open, [parts.chosen], whole, given=chosen, draws=True)
        served.on(f"{kind}-restore", parts.restore.click, self.restore, [parts.deleted], whole, draws=True)

    async def redraw(self, request: gr.Request, shown: str | None, search: str | None) -> Updates:
        """The list, and where the conversation on the screen is in it."""
        user = user_in(request)
        found = await self.conversations.get(user, shown) if shown else None
        drawn = await self.parts.draw(self.conversations, user, found, lang_of(request), search or "")
        beside = self.parts.folders.drawn if self.parts.folders else []
        return {part: drawn[part] for part in (self.parts.history, *beside)}

    async def searched(self, request: gr.Request, search: str | None, shown: str | None) -> Updates:
        """List what holds the words; the search box stays."""
        return await self._listed(request, shown, search)

    async def renamed(
        self, request: gr.Request, shown: str | None, title: str | None, search: str | None
    ) -> Updates:
        """Give the conversation on the screen another title."""
        user = user_in(request)
        if shown and title:
            await self.conversations.rename(user, shown, title)
        return await self._listed(request, shown, search)

    async def pinned(
        self, request: gr.Request, shown: str | None, pinned: bool, search: str | None
    ) -> Updates:
        """Hold the conversation on the screen at the top, or let it go."""
        user = user_in(request)
        if shown:
            await self.conversations.pin(user, shown, pinned=bool(pinned))
        return await self._listed(request, shown, search)

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

    async def _listed(self, request: gr.Request, shown: str | None, search: str | None) -> Updates:
        return {self.parts.history: (await self.redraw(request, shown, search))[self.parts.history]}


def _escaped(title: str) -> str:
    return f"<bdi>{escape(title)}</bdi>"
