"""GET and POST /login, POST /logout."""

import re
from datetime import UTC, datetime
from typing import Annotated

from fastapi import FastAPI, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from common.database import StoreFailed
from common.doors import door
from webui.login.failures_limit import FailuresLimit
from webui.login.key_login import COOKIE, KeyLogin, LoggedIn, LoginRefused, has_cookie
from webui.login.login_page import account_html, login_html
from webui.texts import Lang, language

FORM_BYTES = 16 * 1024
OWN_PAGE = re.compile(r"/([a-z]+(/[\w-]+)?)?(\?[\w=&%.~+-]*)?")
"""Where a login may lead to: a page of ours, and no other site's."""
HEADERS = {
    "cache-control": "no-store",
    # Browsers that are told to send no referrer send `Origin: null` with forms, which the guard must refuse.
    "referrer-policy": "same-origin",
}


def add_login(app: FastAPI, login: KeyLogin) -> None:
    """The routes of a login by key. They work without scripts; that no page of another site posts to them is
    the guard's work (Host, Origin), as for every route."""
    desk = _Desk(login)

    @app.get("/login")
    @door("public")
    async def form(request: Request, next: str = "/") -> Response:
        return await desk.show(request, _own(next))

    @app.post("/login")
    @door("public", content="form", body_bytes=FORM_BYTES)
    async def enter(
        request: Request, key: Annotated[str, Form()] = "", next: Annotated[str, Form()] = "/"
    ) -> Response:
        return await desk.enter(request, key.strip(), _own(next))

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
        lang = _lang(request)
        try:
            visitor = await self._login.admit(request, True)
        except StoreFailed:
            return _html(login_html(lang, wanted, "login_store_failed"), 503)
        if visitor is not None:
            return _html(account_html(lang, visitor))
        return _html(login_html(lang, wanted, "login_ended" if has_cookie(request) else None))

    async def enter(self, request: Request, key: str, wanted: str) -> Response:
        """Log in, and go where somebody wanted to go."""
        lang = _lang(request)
        address = request.client.host if request.client else ""
        if wait := self._limit.wait_s(address):
            seconds = round(wait) or 1
            page = login_html(lang, wanted, "login_too_often", seconds=seconds)
            return _html(page, 429, {"retry-after": str(seconds)})
        try:
            begun = await self._login.begin(key)
        except LoginRefused as refused:
            if refused.reason == "key_refused":
                self._limit.failed(address)
            status = 401 if refused.reason == "key_refused" else 503
            return _html(login_html(lang, wanted, f"login_{refused.reason}"), status)
        except StoreFailed:
            return _html(login_html(lang, wanted, "login_store_failed"), 503)
        answer = _redirect(request, wanted)
        _give_cookie(answer, request, begun)
        return answer

    async def leave(self, request: Request) -> Response:
        """Log out."""
        try:
            await self._login.end(request)
        except StoreFailed:
            return _html(login_html(_lang(request), "/", "login_store_failed"), 503)
        answer = _redirect(request, "/login")
        answer.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=request.url.scheme == "https")
        return answer


def _give_cookie(answer: Response, request: Request, begun: LoggedIn) -> None:
    answer.set_cookie(
        COOKIE,
        begun.cookie,
        max_age=max(0, int((begun.expires - datetime.now(UTC)).total_seconds())),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )


def _own(address: str) -> str:
    return address if OWN_PAGE.fullmatch(address) else "/"


def _redirect(request: Request, path: str) -> RedirectResponse:
    return RedirectResponse(request.scope.get("root_path", "") + path, 303, HEADERS)


def _html(page: str, status: int = 200, more: dict[str, str] | None = None) -> HTMLResponse:
    return HTMLResponse(page, status, HEADERS | (more or {}))


def _lang(request: Request) -> Lang:
    return language(request.headers.get("accept-language"))
