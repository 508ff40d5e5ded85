"""The study page: a small page of its own, so that a rater's phone has little to load.

`assets/study.js` fills it.
"""

import hashlib
import json
from html import escape
from importlib.resources import files

from webui.answer_feed import assets_address
from webui.study.plan import IDLE_S
from webui.study.texts import MESSAGES, SCRIPT
from webui.texts import Lang, text

LINKS = (
    ("./", "nav_compare"),
    ("./chat", "nav_chat"),
    ("./study", "nav_study"),
    ("./results", "nav_results"),
    ("./documents", "nav_documents"),
    ("./models", "nav_models"),
)
ALONE = (("./study", "nav_study"),)
MORE_LINKS = {"admin": ("./admin", "nav_admin"), "account": ("./login", "nav_account")}


def study_html(lang: Lang, links: tuple[str, ...], user: str | None, *, alone: bool) -> str:
    """The frame, with the words that the script draws. `links`: which of account and admin there are; `user`:
    its reader, None for a browser without a cookie yet; `alone`: its reader sees no other page."""
    sheets = (files("webui") / "admin" / "admin.css", files("webui") / "study" / "study.css")
    style = "".join(sheet.read_text(encoding="utf-8") for sheet in sheets)
    nav = "".join(
        f'<a href="{address}"{_current(key)}>{escape(text(lang, key))}</a>'
        for address, key in (*(ALONE if alone else LINKS), *(MORE_LINKS[name] for name in links))
    )
    at = 0 if lang == "ko" else 1
    words = {key.removeprefix(SCRIPT): pair[at] for key, pair in MESSAGES.items() if key.startswith(SCRIPT)}
    reader = hashlib.sha256(user.encode()).hexdigest()[:16] if user else None
    given = {"words": words, "idle_s": IDLE_S, "reader": reader}
    data = json.dumps(given, ensure_ascii=False).replace("<", "\\u003c")
    title, home = escape(text(lang, "nav_study")), "./study" if alone else "./"
    return f"""<!doctype html>
<html lang="{lang}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title} · kodolly</title><style>{style}</style></head>
<body><header><a class="brand" href="{home}">kodolly <span lang="ko">코돌리</span></a>
<nav>{nav}</nav></header>
<main id="study"></main><p id="told" role="status"></p>
<script type="application/json" id="given">{data}</script>
<script type="module" src="{assets_address()}/study.js"></script></body></html>"""


def _current(key: str) -> str:
    return ' aria-current="page"' if key == "nav_study" else ""
