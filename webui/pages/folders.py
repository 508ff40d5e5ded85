"""Folders on the chat page: make one, put a chat into it, rename it, delete it and take the deletion back."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from webui.notices import tell
from webui.pages.parts import Updates, lang_of, on, user_in
from webui.store.folders import FolderNameTaken
from webui.store.history import Folder
from webui.store.page_store import PageStore
from webui.texts import Lang, text

Draw = Callable[[gr.Request, str | None, str | None], Awaitable[Updates]]
NONE = ""
"""Value of the picker for a chat that is in no folder."""


@dataclass(frozen=True)
class FolderParts:
    """The components of the chat page that folders have beside the list."""

    name: gr.Textbox
    """Of a folder to make."""
    make: gr.Button
    picker: gr.Dropdown
    """In which folder the chat on the screen is."""
    asked: gr.JSON
    """The script's word: {"what": rename, delete or restore, "folder": its id, "name": its new name}"""
    press: gr.Button
    """What the script presses then."""
    note: gr.HTML
    """Says what was deleted, with a button that brings it back."""

    @property
    def drawn(self) -> list[Any]:
        """What `draw` changes."""
        return [self.picker]

    def draw(self, folders: Sequence[Folder], chosen: str | None, lang: Lang, *, begun: bool) -> Updates:
        """The picker for the chat on the screen."""
        choices: list[Any] = [(text(lang, "folder_none"), NONE), *((one.name, one.id) for one in folders)]
        there = any(one.id == chosen for one in folders)
        value = chosen if there else NONE
        return {self.picker: gr.update(choices=choices, value=value, visible=begun and bool(folders))}


def folder_parts(t: gr.I18n) -> FolderParts:
    """Lay them out, below the list."""
    picker = gr.Dropdown([], label=t("folder"), visible=False, filterable=False, elem_id="chat-folder-of")
    with gr.Accordion(t("folder_new"), open=False, elem_id="chat-folder-new"):
        name = gr.Textbox(
            label=t("folder_name"), max_length=80, elem_id="chat-folder-name", placeholder=t("folder_hint")
        )
        make = gr.Button(t("folder_make"), size="sm", elem_id="chat-folder-make")
    return FolderParts(
        name=name,
        make=make,
        picker=picker,
        asked=gr.JSON(None, visible="hidden"),
        press=gr.Button(visible="hidden", elem_id="chat-folder-press"),
        note=gr.HTML(elem_id="chat-folder-note"),
    )


class FolderEvents:
    """What happens to folders. Each listener draws the list anew."""

    def __init__(self, parts: FolderParts, store: PageStore, draw: Draw) -> None:
        """`draw` takes request, id of the chat on the screen and words that are searched for."""
        self.parts = parts
        self.folders = store.folders
        self.draw = draw

    def wire(self, shown: gr.Textbox, search: gr.Textbox, listed: Sequence[Any]) -> None:
        """Attach the listeners; `listed` is what `draw` changes."""
        parts, at = self.parts, [shown, search]
        drawn = [*listed, *parts.drawn]
        on([parts.name.submit, parts.make.click], self.make, [parts.name, *at], [*drawn, parts.name])
        on(parts.picker.input, self.move, [parts.picker, *at], drawn)
        take = "(asked, ...more) => [window.kodolly.folder, ...more]"
        on(parts.press.click, self.change, [parts.asked, *at], [*drawn, parts.note], js=take)

    async def make(
        self, request: gr.Request, name: str | None, shown: str | None, search: str | None
    ) -> Updates:
        """A new folder; the chat on the screen stays where it is."""
        made = await self.folders.make(user_in(request), name or "")
        if made is None:
            tell(text(lang_of(request), "folder_needs_name"))
        return await self.draw(request, shown, search) | {self.parts.name: "" if made else name}

    async def move(
        self, request: gr.Request, folder: str | None, shown: str | None, search: str | None
    ) -> Updates:
        """Put the chat on the screen into another folder, or out of all."""
        if shown and not await self.folders.move(user_in(request), shown, folder or None):
            tell(text(lang_of(request), "folder_gone"))
        return await self.draw(request, shown, search)

    async def change(self, request: gr.Request, asked: Any, shown: str | None, search: str | None) -> Updates:
        """Rename or delete a folder, or bring it back, as the script says."""
        user, lang = user_in(request), lang_of(request)
        given = asked if isinstance(asked, dict) else {}
        folder, note = str(given.get("folder") or ""), ""
        try:
            if given.get("what") == "rename":
                await self.folders.rename(user, folder, str(given.get("name") or ""))
            elif given.get("what") == "restore":
                await self.folders.restore(user, folder)
            elif given.get("what") == "delete":
                gone = await self.folders.delete(user, folder)
                note = _deleted(gone, lang) if gone else ""
        except FolderNameTaken:
            tell(text(lang, "folder_taken"))
        return await self.draw(request, shown, search) | {self.parts.note: note}


def _deleted(folder: Folder, lang: Lang) -> str:
    words = escape(text(lang, "folder_deleted", name=folder.name))
    press = f'data-folder-restore="{escape(folder.id)}"'
    return f'<p>{words} <button type="button" {press}>{escape(text(lang, "restore"))}</button></p>'
