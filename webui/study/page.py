"""The study page: a small page of its own, so that a rater's phone has little to load.

`assets/study.js` fills it.
"""

import hashlib
import json
from html import escape

from webui.admin.frame import ADMIN_CSS
from webui.answer_feed import assets_address
from webui.plain_page import BRAND, ROOT, plain_page
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
    nav = "".join(
        f'<a href="{address}"{_current(key)}>{escape(text(lang, key))}</a>'
        for address, key in (*(ALONE if alone else LINKS), *(MORE_LINKS[name] for name in links))
    )
    at = 0 if lang == "ko" else 1
    words = {key.removeprefix(SCRIPT): pair[at] for key, pair in MESSAGES.items() if key.startswith(SCRIPT)}
    reader = hashlib.sha256(user.encode()).hexdigest()[:16] if user else None
    given = {"words": words, "idle_s": IDLE_S, "reader": reader}
    data = json.dumps(given, ensure_ascii=False).replace("<", "\\u003c")
    body = f"""<header><a class="brand" href="{"./study" if alone else "./"}">{BRAND}</a>
<nav>{nav}</nav></header>
<main id="study"></main><p id="told" role="status"></p>
<script type="application/json" id="given">{data}</script>
<script type="module" src="{assets_address()}/study.js"></script>"""
    return plain_page(lang, text(lang, "nav_study"), body, [ADMIN_CSS, ROOT / "study" / "study.css"])


def _current(key: str) -> str:
    return ' aria-current="page"' if key == "nav_study" else ""
