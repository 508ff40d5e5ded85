"""The list of conversations as HTML, chats below their folders. `assets/history.js` tells the page what was
chosen in it."""

from html import escape

from webui.store.history import Folder, History, Listed
from webui.texts import Lang, text


def history_html(
    kind: str,
    found: History,
    chosen: str | None,
    lang: Lang,
    *,
    empty: bool,
) -> str:
    """`empty`: whether to show folders without a chat in the list, too."""
    rows = {folder.id: "" for folder in found.folders}
    loose = ""
    for line in found.lines:
        row = _row(kind, line, chosen)
        if line.folder in rows:
            rows[line.folder] += row
        else:
            loose += row
    groups = "".join(
        _folder(folder, rows[folder.id], lang) for folder in found.folders if empty or rows[folder.id]
    )
    if loose and groups:
        loose = f"<fieldset><legend>{escape(text(lang, 'folder_none'))}</legend>{loose}</fieldset>"
    label = escape(text(lang, "history"))
    return f'<div role="group" aria-label="{label}">{groups}{loose}</div>' if groups or loose else ""


def _folder(folder: Folder, rows: str, lang: Lang) -> str:
    name = escape(folder.name)
    tools = "".join(
        f'<button type="button" data-folder-{what}="{escape(folder.id)}" data-name="{name}"'
        f' title="{escape(text(lang, f"folder_{what}"))}"'
        f' aria-label="{escape(text(lang, f"folder_{what}_of", name=folder.name))}">{sign}</button>'
        for what, sign in (("rename", PENCIL), ("delete", BIN))
    )
    rows = rows or f'<p class="kd-small">{escape(text(lang, "folder_empty"))}</p>'
    return (
        f'<fieldset class="kd-folder" aria-label="{name}">'
        f'<legend><bdi>{name}</bdi><span class="kd-folder-tools">{tools}</span></legend>{rows}</fieldset>'
    )


def _row(kind: str, line: Listed, chosen: str | None) -> str:
    mark = ' checked="checked"' if line.id == chosen else ""
    pin = '<span aria-hidden="true">📌 </span>' if line.pinned else ""
    title = escape(line.title)
    return (
        f'<label title="{title}"><input type="radio" name="{kind}-history" value="{escape(line.id)}"{mark}>'
        f"<span>{pin}<bdi>{title}</bdi></span></label>"
    )


PENCIL = (
    '<svg viewBox="0 0 16 16" aria-hidden="true">'
    '<path d="m3 13 .7-2.8 7.3-7.3 2.1 2.1-7.3 7.3zM9.6 4.3l2.1 2.1"/></svg>'
)
BIN = (
    '<svg viewBox="0 0 16 16" aria-hidden="true">'
    '<path d="M2.5 4.5h11M6 4.5v-2h4v2M4 4.5l.6 9h6.8l.6-9M6.7 7v4M9.3 7v4"/></svg>'
)
