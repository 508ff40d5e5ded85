"""The login page: plain HTML that works without a script, in the language of the browser."""

from html import escape
from urllib.parse import urlsplit

from webui.login.visitor import Visitor
from webui.plain_page import BRAND, ROOT, plain_page
from webui.texts import Lang, text


def login_html(lang: Lang, wanted: str, said: str | None = None, **values: object) -> str:
    """The form. `wanted` is the address to go to afterwards; `said` the text of what went wrong."""
    alert = _alert(lang, said, **values)
    invalid = ' aria-invalid="true"' if said == "login_key_refused" else ""
    return _page(
        lang,
        text(lang, "login_title"),
        f"""{alert}<form method="post" action="login" enctype="multipart/form-data">
<input type="hidden" name="next" value="{escape(wanted, quote=True)}">
<label for="key">{escape(text(lang, "login_key"))}</label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus
 spellcheck="false" autocapitalize="off"{invalid} aria-describedby="hint">
<p id="hint" class="hint">{escape(text(lang, "login_hint"))}</p>
<button>{escape(text(lang, "login_button"))}</button></form>""",
    )


def provider_html(lang: Lang, start: str, issuer: str, said: str | None = None) -> str:
    """The way to an OpenID Connect provider: the address that leads there, and what the provider is called.
    `said`: the text of what went wrong."""
    host = urlsplit(issuer).netloc
    return _page(
        lang,
        text(lang, "login_title"),
        f"""{_alert(lang, said, host=host)}<p class="hint">{escape(text(lang, "sign_in_hint", host=host))}</p>
{_button(lang, start)}""",
    )


def signed_out_html(lang: Lang, start: str, issuer: str, elsewhere: str | None) -> str:
    """After logging out. `elsewhere` is where to do so at the provider, too."""
    host = urlsplit(issuer).netloc
    also = ""
    if elsewhere:
        words = escape(text(lang, "sign_out_elsewhere", host=host))
        also = f'<p><a id="sign-out-elsewhere" href="{escape(elsewhere, quote=True)}">{words}</a></p>'
    return _page(
        lang,
        text(lang, "signed_out_title"),
        f"""<p class="hint">{escape(text(lang, "signed_out_hint", host=host))}</p>
{_button(lang, start)}
{also}""",
    )


def account_html(lang: Lang, visitor: Visitor) -> str:
    """Who is logged in, and the way out."""
    role = text(lang, f"role_{visitor.role}")
    link = f'<p><a id="to-admin" href="./admin">{escape(text(lang, "nav_admin"))}</a></p>\n'
    admin = link if visitor.admin else ""
    return _page(
        lang,
        text(lang, "account_title"),
        f"""<p><strong>{escape(visitor.name)}</strong> <span class="role">{escape(role)}</span></p>
<form method="post" action="logout" enctype="multipart/form-data">
<input type="hidden" name="from" value="account"><button>{escape(text(lang, "logout_button"))}</button></form>
{admin}<p><a href="./">{escape(text(lang, "login_back"))}</a></p>""",
    )


def refused_html(lang: Lang, code: str, account: str | None) -> str:
    """To whom no login page would help: why (the error's code), and where their account is, if anywhere."""
    link = (
        f'<a href="{escape(account, quote=True)}">{escape(text(lang, "account_title"))}</a>'
        if account
        else ""
    )
    return _page(
        lang,
        text(lang, "refused_title"),
        _alert(lang, f"refused_{code}") + (f"<p>{link}</p>" if link else ""),
    )


def _button(lang: Lang, start: str) -> str:
    words = escape(text(lang, "login_button"))
    return f'<p><a id="sign-in" class="button" href="{escape(start, quote=True)}">{words}</a></p>'


def _alert(lang: Lang, said: str | None, **values: object) -> str:
    return f'<p class="alert" role="alert">{escape(text(lang, said, **values))}</p>' if said else ""


def _page(lang: Lang, title: str, body: str) -> str:
    main = f'<main><p class="brand">{BRAND}</p><h1>{escape(title)}</h1>\n{body}</main>'
    return plain_page(lang, title, main, [ROOT / "login" / "login.css"])
