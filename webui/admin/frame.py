"""The frame of the administrators' screens, as plain HTML: it works without scripts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Literal

from webui.plain_page import BRAND, ROOT, plain_page
from webui.render import inline
from webui.texts import Lang, text

MULTIPART = 'method="post" enctype="multipart/form-data"'
ADMIN_CSS = ROOT / "admin" / "admin.css"
Screen = Literal["keys", "workers", "review", "improve"]
ADDRESSES: Mapping[Screen, str] = {
    "keys": "./admin",
    "workers": "./admin/workers",
    "review": "./admin/review",
    "improve": "./admin/improve",
}


@dataclass(frozen=True)
class Notice:
    """What the page says about the last action."""

    key: str
    good: bool
    values: Mapping[str, object]
    secret: str | None = None
    """Of a key that was just made: it is shown this once."""
    typed: Mapping[str, str] = field(default_factory=dict)
    """What somebody had entered and was not saved: field -> words."""


def page(lang: Lang, screen: Screen, body: str, said: Notice | None = None) -> str:
    """A screen with the links of the others, and what is said of the last action."""
    links = "".join(
        f'<a href="{address}"{here}>{words(lang, key)}</a>'
        for address, key, here in (
            ("./", "nav_compare", ""),
            ("./chat", "nav_chat", ""),
            ("./study", "nav_study", ""),
            ("./results", "nav_results", ""),
            ("./documents", "nav_documents", ""),
            ("./models", "nav_models", ""),
            ("./admin", "nav_admin", ' aria-current="page"'),
        )
    )
    screens = "".join(
        f'<a href="{address}"{current(one == screen)}>{words(lang, f"admin_screen_{one}")}</a>'
        for one, address in ADDRESSES.items()
    )
    title = words(lang, "nav_admin")
    framed = f"""<header><a class="brand" href="./">{BRAND}</a>
<nav aria-label="{words(lang, "nav_pages")}">{links}</nav></header>
<main><h1>{title}</h1><nav class="tabs" aria-label="{title}">{screens}</nav>
{_said(lang, said) if said else ""}{body}</main>"""
    return plain_page(lang, text(lang, "nav_admin"), framed, [ADMIN_CSS])


def problem(lang: Lang, screen: Screen, key: str, detail: str = "") -> str:
    """The page of somebody who may not see it, or while the gateway does not answer."""
    more = f'<p class="quiet">{escape(detail)}</p>' if detail else ""
    return page(lang, screen, f'<div class="said bad" role="alert"><p>{words(lang, key)}</p>{more}</div>')


def _said(lang: Lang, said: Notice) -> str:
    secret = (
        f'<label for="secret">{words(lang, "admin_secret")}</label>'
        f'<input id="secret" readonly value="{escape(said.secret, quote=True)}">'
        if said.secret
        else ""
    )
    typed = "".join(
        f"<dt>{words(lang, f'admin_{name}')}</dt><dd>{escape(value)}</dd>"
        for name, value in said.typed.items()
    )
    lost = f'<p class="quiet">{words(lang, "admin_typed")}</p><dl>{typed}</dl>' if typed else ""
    told = words(lang, said.key, **said.values)
    mood, role = ("good", "status") if said.good else ("bad", "alert")
    return f'<div class="said {mood}" role="{role}"><p>{told}</p>{lost}{secret}</div>'


def words(lang: Lang, key: str, **values: object) -> str:
    """One of our sentences as HTML, with `code` between backticks."""
    return inline(text(lang, key, **values))


def current(is_it: bool) -> str:
    """Marks the link of what is shown."""
    return ' aria-current="true"' if is_it else ""
