"""GET /login, /login/start and /login/oidc, POST /logout, where a provider logs people in."""

import logging
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response

from common.database import StoreFailed
from common.doors import door
from webui.login.answers import HEADERS, html, lang_of, own_page, redirect
from webui.login.login_page import account_html, provider_html, signed_out_html
from webui.login.oidc.attempt import attempt_in, forget_attempt, keep_attempt
from webui.login.oidc.login import Answer, OidcLogin
from webui.login.oidc.refused import STATUS, SignInRefused
from webui.login.session_cookie import cookie_bytes, give_cookie, take_cookie_away

START = "/login/start"
CALLBACK = "/login/oidc"
FORM_BYTES = 1024


logger = logging.getLogger(__name__)


def add_oidc(app: FastAPI, login: OidcLogin, public_url: str, issuer: str) -> None:
    """The routes. They work without scripts. Signing in begins with a link, as a form may lead to no other
    site (`form-action` in the pages' policy); it changes nothing but a cookie of whoever follows it."""
    desk = _Desk(login, public_url, issuer)

    @app.get("/login")
    @door("public")
    async def page(request: Request, next: str = "/") -> Response:
        return await desk.show(request, own_page(next))

    @app.get(START)
    @door("public")
    async def start(request: Request, next: str = "/") -> Response:
        return await desk.start(request, own_page(next))

    @app.get(CALLBACK)
    @door("public")
    async def finish(
        request: Request, state: str = "", code: str = "", error: str = "", iss: str = ""
    ) -> Response:
        return await desk.finish(request, state, Answer(code, error, iss))

    @app.post("/logout")
    @door("public", content="form", body_bytes=FORM_BYTES)
    async def leave(request: Request) -> Response:
        return await desk.leave(request)


class _Desk:
    """Answers whoever comes to log in or out."""

    def __init__(self, login: OidcLogin, public_url: str, issuer: str) -> None:
        self._login, self._public_url, self._issuer = login, public_url, issuer
        self._secure = public_url.startswith("https:")

    async def show(self, request: Request, wanted: str) -> Response:
        """The way to the provider; to whoever is logged in, their account."""
        try:
            visitor = await self._login.admit(request, True)
        except StoreFailed:
            return self._page(request, wanted, 503, "login_store_failed")
        if visitor is not None:
            return html(account_html(lang_of(request), visitor))
        return self._page(request, wanted, 200, "sign_in_ended" if cookie_bytes(request) else None)

    async def start(self, request: Request, wanted: str) -> Response:
        """To the provider."""
        try:
            url, attempt = await self._login.start(wanted)
        except SignInRefused as refused:
            return self._refusal(request, wanted, refused)
        answer = RedirectResponse(url, 303, HEADERS)
        keep_attempt(answer, attempt, secure=self._secure)
        return answer

    async def finish(self, request: Request, state: str, told: Answer) -> Response:
        """Back from the provider: log in, and go where somebody wanted to go."""
        attempt = attempt_in(request, state)
        wanted = own_page(attempt.wanted) if attempt else "/"
        try:
            if attempt is None:
                raise SignInRefused("sign_in_unknown", "this browser has begun no such sign-in")
            begun = await self._login.finish(told, attempt)
        except SignInRefused as refused:
            answer = self._refusal(request, wanted, refused)
        except StoreFailed:
            answer = self._page(request, wanted, 503, "login_store_failed")
        else:
            answer = redirect(request, wanted)
            give_cookie(answer, begun, secure=self._secure)
        if attempt is not None:
            forget_attempt(answer, attempt, secure=self._secure)
        return answer

    async def leave(self, request: Request) -> Response:
        """Log out here, and show the way out at the provider."""
        try:
            await self._login.end(request)
        except StoreFailed:
            return self._page(request, "/", 503, "login_store_failed")
        try:
            elsewhere = await self._login.sign_out_url()
        except SignInRefused:
            elsewhere = None
        answer = html(signed_out_html(lang_of(request), self._start("/"), self._issuer, elsewhere))
        take_cookie_away(answer, secure=self._secure)
        return answer

    def _refusal(self, request: Request, wanted: str, refused: SignInRefused) -> Response:
        logger.warning("A sign-in was refused (%s): %s", refused.reason, refused)
        return self._page(request, wanted, STATUS[refused.reason], refused.reason)

    def _page(self, request: Request, wanted: str, status: int, said: str | None) -> Response:
        return html(provider_html(lang_of(request), self._start(wanted), self._issuer, said), status)

    def _start(self, wanted: str) -> str:
        """At the public address: there the provider leads back to, and there the cookie is wanted then."""
        return f"{self._public_url}{START}?next={quote(wanted, safe='')}"
