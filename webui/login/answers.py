"""What the routes of all logins answer with: pages that nobody keeps, and ways to pages of ours alone."""

import re

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse

from webui.texts import Lang, language

OWN_PAGE = re.compile(r"/([a-z]+(/[\w-]+)?)?(\?[\w=&%.~+-]*)?")
"""Where a login may lead to: a page of ours, and no other site's."""
LONGEST_PAGE = 500
HEADERS = {
    "cache-control": "no-store",
    # Browsers that are told to send no referrer send `Origin: null` with forms, which the guard must refuse.
    "referrer-policy": "same-origin",
}


def own_page(address: str) -> str:
    """`address` if a login may lead there, else the first page."""
    return address if len(address) <= LONGEST_PAGE and OWN_PAGE.fullmatch(address) else "/"


def redirect(request: Request, path: str) -> RedirectResponse:
    """To a page of ours."""
    return RedirectResponse(request.scope.get("root_path", "") + path, 303, HEADERS)


def html(page: str, status: int = 200, more: dict[str, str] | None = None) -> HTMLResponse:
    """A whole page."""
    return HTMLResponse(page, status, HEADERS | (more or {}))


def lang_of(request: Request) -> Lang:
    """The browser's language."""
    return language(request.headers.get("accept-language"))
