"""GET and POST /login, POST /logout, where a key of the gateway logs in."""

from typing import Annotated

from fastapi import FastAPI, Form, Request
from fastapi.responses import Response

from common.database import StoreFailed
from common.doors import door
from webui.login.answers import html, lang_of, own_page, redirect
from webui.login.failures_limit import FailuresLimit
from webui.login.key_login import KeyLogin, LoginRefused
from webui.login.login_page import account_html, login_html
from webui.login.session_cookie import cookie_bytes, give_cookie, take_cookie_away

FORM_BYTES = 16 * 1024


def add_login(app: FastAPI, login: KeyLogin) -> None:
    """The routes of a login by key. They work without scripts; that no page of another site posts to them is
    the guard's work (Host, Origin), as for every route."""
    desk = _Desk(login)

    @app.get("/login")
    @door("public")
    async def form(request: Request, next: str = "/") -> Response:
        return await desk.show(request, own_page(next))

    @app.post("/login")
    @door("public", content="form", body_bytes=FORM_BYTES)
    async def enter(
        request: Request, key: Annotated[str, Form()] = "", next: Annotated[str, Form()] = "/"
    ) -> Response:
        return await desk.enter(request, key.strip(), own_page(next))

    @app.post("/logout")
    @door("public", content="form", body_bytes=FORM_BYTES)
    async def leave(request: Request) -> Response:
        return await desk.leave(request)


class _Desk:
    """Answers the login and logout forms."""

    def __init__(self, login: KeyLogin) -> None:
        self._login, self._limit = login, FailuresLimit()

    async def show(self, request: Request, wanted: str) -> Response:
        """The form; to whoever is logged in, their account."""
        lang = lang_of(request)
        try:
            visitor = await self._login.admit(request, True)
        except StoreFailed:
            return html(login_html(lang, wanted, "login_store_failed"), 503)
        if visitor is not None:
            return html(account_html(lang, visitor))
        return html(login_html(lang, wanted, "login_ended" if cookie_bytes(request) else None))

    async def enter(self, request: Request, key: str, wanted: str) -> Response:
        """Log in, and go where somebody wanted to go."""
        lang = lang_of(request)
        address = request.client.host if request.client else ""
        if wait := self._limit.wait_s(address):
            seconds = round(wait) or 1
            page = login_html(lang, wanted, "login_too_often", seconds=seconds)
            return html(page, 429, {"retry-after": str(seconds)})
        try:
            begun = await self._login.begin(key)
        except LoginRefused as refused:
            if refused.reason == "key_refused":
                self._limit.failed(address)
            status = 401 if refused.reason == "key_refused" else 503
            return html(login_html(lang, wanted, f"login_{refused.reason}"), status)
        except StoreFailed:
            return html(login_html(lang, wanted, "login_store_failed"), 503)
        answer = redirect(request, wanted)
        give_cookie(answer, begun, secure=request.url.scheme == "https")
        return answer

    async def leave(self, request: Request) -> Response:
        """Log out."""
        try:
            await self._login.end(request)
        except StoreFailed:
            return html(login_html(lang_of(request), "/", "login_store_failed"), 503)
        answer = redirect(request, "/login")
        take_cookie_away(answer, secure=request.url.scheme == "https")
        return answer
