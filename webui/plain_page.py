"""The frame of the pages that are not Gradio's: login, shared conversations, studies, administration."""

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable

from webui.texts import Lang

ROOT = files("webui")
BASE = ROOT / "plain_page.css"
BRAND = 'kodolly <span lang="ko">코돌리</span>'


def plain_page(lang: Lang, title: str, body: str, sheets: Sequence[Traversable], head: str = "") -> str:
    """A whole page in HTML. `title` is plain text, `body` and `head` are HTML; `sheets` come after the
    colours and the type that all these pages share."""
    style = "".join(sheet.read_text(encoding="utf-8") for sheet in (BASE, *sheets))
    return f"""<!doctype html>
<html lang="{lang}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(title)} · kodolly</title><style>{style}</style>{head}</head>
<body>{body}</body></html>"""
