"""The gate in front of all pages: nobody comes in who has not logged in, and everybody's name goes along."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from common.database import StoreFailed
from common.errors import ApiError, error_bytes
from webui.login.answers import html, lang_of
from webui.login.login_page import refused_html
from webui.login.user_keys import UserKeys
from webui.login.visitor import STATE, Visitor, serving

OPEN = frozenset({("GET", "/healthz"), ("HEAD", "/healthz")})
_LOGIN_PAGE = frozenset({("GET", "/login"), ("HEAD", "/login"), ("POST", "/logout")})
LOGIN = {
    "key": _LOGIN_PAGE | {("POST", "/login")},
    "oidc": _LOGIN_PAGE | {("GET", "/login/start"), ("GET", "/login/oidc")},
}
"""For those who have not logged in, where there is a login page."""
FOR_RATERS = frozenset({"/study", "/favicon.ico"})
BELOW_FOR_RATERS = ("/study/api/", "/page/assets/")
Admit = Callable[[Request, bool], Awaitable[Visitor | None]]
"""Who sent a request; the flag is true for one that opens a page. None for nobody. Raises StoreFailed, and
ApiError for whom no login page would help."""


class LoginGate:
    """Asks `admit` about every request. Without a visitor a page is answered with the login page's address,
    anything else with 401. A rater is led to the study page from every other one."""

    def __init__(
        self,
        app: ASGIApp,
        admit: Admit,
        open_to_all: frozenset[tuple[str, str]] = OPEN,
        raters: frozenset[str] = frozenset(),
        keys: UserKeys | None = None,
    ) -> None:
        """`open_to_all`: methods and paths that ask for no login; `raters`: ids of users; `keys` has one for
        each visitor who brings none."""
        self._app, self._admit, self._open, self._raters = app, admit, open_to_all, raters
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (scope["method"], scope["path"]) in self._open:
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        page = opens_page(request)
        try:
            visitor = await self._admitted(request, page)
        except ApiError as error:
            answer = self._refused_page(request, error) if page else _refused(error)
            await answer(scope, receive, send)
            return
        if visitor is None:
            answer = _to_login(request) if page else _login_needed(request)
            await answer(scope, receive, send)
            return
        if visitor.role == "rater" and not is_for_raters(scope["path"]):
            answer = _to_study(request) if page else _refusal("for_members", "Raters see studies alone.", 403)
            await answer(scope, receive, send)
            return
        scope.setdefault("state", {})[STATE] = visitor
        with serving(visitor):
            await self._app(scope, receive, send)

    async def _admitted(self, request: Request, page: bool) -> Visitor | None:
        visitor = await self._admit(request, page)
        if visitor is None:
            return None
        visitor = replace(visitor, rater=visitor.rater or visitor.user in self._raters)
        if self._keys is None or visitor.role == "rater":  # studies ask with the page's own key
            return visitor
        return await self._keys.given(visitor)

    def _refused_page(self, request: Request, error: ApiError) -> Response:
        """For a person: in their language, with the way out of the account where there is one."""
        account = f"{request.scope.get('root_path', '')}/login" if ("GET", "/login") in self._open else None
        return html(refused_html(lang_of(request), str(error.code), account), _status(error))


def is_for_raters(path: str) -> bool:
    """Whether somebody who only rates may ask for it."""
    return path in FOR_RATERS or path.startswith(BELOW_FOR_RATERS)


def opens_page(request: Request) -> bool:
    """Whether a person has followed an address, and sees what comes."""
    return request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", "")


def _to_login(request: Request) -> Response:
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(
        f"{request.scope.get('root_path', '')}/login?next={quote(wanted, safe='')}",
        303,
        {"cache-control": "no-store"},
    )


def _to_study(request: Request) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}/study", 303, {"cache-control": "no-store"})


def _login_needed(request: Request) -> Response:
    """For a page's script, which then leads to the login page: `assets/composer.js`."""
    answer = _refusal("login_needed", "Sign in first.", 401)
    answer.headers["kodolly-login"] = f"{request.scope.get('root_path', '')}/login"
    return answer


def _refused(error: ApiError) -> Response:
    return Response(error_bytes(error), _status(error), error.headers, "application/json")


def _status(error: ApiError) -> int:
    """A store that is away may be back soon."""
    return 503 if isinstance(error, StoreFailed) else error.status


def _refusal(code: str, message: str, status: int) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status, {"connection": "close"})
