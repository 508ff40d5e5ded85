"""Who asks, without a login: each browser has a secret of its own in a cookie that no script can read."""

import secrets
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "kodolly-browser"
DAYS = 400
"""The longest that browsers keep a cookie (RFC 6265bis, 5.5)."""
TOKEN_BYTES = 24


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
    try:
        morsel = SimpleCookie(cookies or "").get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel is not None and 16 <= len(morsel.value) <= 100 else None


def _new_cookie(*, secure: bool) -> str:
    cookie = f"{COOKIE}={secrets.token_urlsafe(TOKEN_BYTES)}; Path=/; HttpOnly; SameSite=Lax"
    return f"{cookie}; Max-Age={DAYS * 24 * 3600}{'; Secure' if secure else ''}"
