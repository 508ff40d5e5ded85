"""Who asks, without a login: each browser has a secret of its own in a cookie that no script can read."""

import secrets
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webui.cookies import cookie_in
from webui.login.visitor import visitor_of
from webui.store.users import user_of

COOKIE = "kodolly-browser"
DAYS = 400
"""Seconds: the longest that browsers keep a cookie (RFC 6265bis, 5.5)."""
TOKEN_BYTES = 24


class NoCookie(Exception):
    """The browser sends no cookie, so nothing can be kept for it."""


class BrowserCookie:
    """Gives every browser that asks for a page its cookie."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or token_in(Headers(scope=scope).get("cookie")) is not None:
            await self.app(scope, receive, send)
            return

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.append("set-cookie", _new_cookie(secure=scope["scheme"] == "https"))
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def token_in(cookies: str | None) -> str | None:
    """The browser's secret in a Cookie header."""
    token = cookie_in(cookies, COOKIE)
    return token if token is not None and 16 <= len(token) <= 100 else None


def sender(cookies: str | None, state: Any) -> str | None:
    """The id in the store of who sent a request with this Cookie header and state: who has logged in, else
    the browser."""
    visitor = visitor_of(state)
    if visitor is not None:
        return visitor.user
    token = token_in(cookies)
    return user_of(token) if token is not None else None


def _new_cookie(*, secure: bool) -> str:
    cookie = f"{COOKIE}={secrets.token_urlsafe(TOKEN_BYTES)}; Path=/; HttpOnly; SameSite=Lax"
    return f"{cookie}; Max-Age={DAYS * 24 * 3600}{'; Secure' if secure else ''}"
