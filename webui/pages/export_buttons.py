"""The buttons that save a conversation as a file, and what happens then."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import gradio as gr

from webui.pages.export import as_csv, as_json, as_markdown, exported
from webui.pages.parts import Updates, lang_of, on, user_in
from webui.sharing.page import picture_html
from webui.store.conversations import Conversation, Conversations, Kind
from webui.store.shares import SharedConversation
from webui.texts import Lang

FileKind = Literal["markdown", "json", "csv", "png"]
ENDINGS: dict[FileKind, tuple[str, str]] = {
    "markdown": ("md", "text/markdown"),
    "json": ("json", "application/json"),
    "csv": ("csv", "text/csv"),
    "png": ("png", "text/html"),
}
"""Ending of the name, and type of what the server makes: a picture is drawn by the browser."""

# Saves a file without the server ever writing the conversation to its disk.
SAVE_FILE_JS = "(file) => { if (file) window.kodolly.save(file); }"


@dataclass(frozen=True)
class ExportButtons:
    """One for each kind of file."""

    kind: Kind
    buttons: dict[FileKind, gr.Button]
    download: gr.JSON

    @property
    def all(self) -> list[Any]:
        return list(self.buttons.values())


def export_buttons(t: gr.I18n, kind: Kind, **looks: Any) -> ExportButtons:
    """Lay them out."""
    kinds: tuple[FileKind, ...] = get_args(FileKind)
    buttons = {each: gr.Button(t(each), size="sm", elem_id=f"{kind}-save-{each}", **looks) for each in kinds}
    return ExportButtons(kind, buttons, gr.JSON(visible="hidden", elem_id=f"{kind}-download"))


def wire_export(parts: ExportButtons, conversations: Conversations, shown: gr.Textbox) -> None:
    """Attach the listeners. `shown` has the id of the conversation on the screen."""
    for kind, button in parts.buttons.items():
        saved = on(button.click, save(parts, conversations, kind), [shown], [parts.download])
        on(saved.then, None, [parts.download], [], js=SAVE_FILE_JS)


def save(
    parts: ExportButtons, conversations: Conversations, kind: FileKind
) -> Callable[..., Awaitable[Updates]]:
    """Hand the whole conversation to the browser as a file."""

    async def listener(request: gr.Request, shown: str | None) -> Updates:
        lang = lang_of(request)
        found = await conversations.get(user_in(request), shown) if shown else None
        if found is None:
            return {parts.download: None}
        name = "comparison" if parts.kind == "compare" else "chat"
        ending, media_type = ENDINGS[kind]
        file = {"name": f"{name}-{datetime.now():%Y-%m-%d-%H%M}.{ending}", "type": media_type}
        return {parts.download: file | {"text": _written(found, kind, lang)}}

    return listener


def _written(found: Conversation, kind: FileKind, lang: Lang) -> str:
    if kind == "png":
        seen = SharedConversation(found.kind, found.title, found.hidden, found.sides, datetime.now(UTC))
        return picture_html(seen, lang)
    export = exported(found)
    if kind == "markdown":
        return as_markdown(export, lang)
    return as_json(export) if kind == "json" else as_csv(export)
