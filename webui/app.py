"""The web UI as an ASGI app: Gradio's pages at `/` and GET /healthz."""

import os
import sys
import warnings
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.cors import CrossOrigin
from common.doors import BODY_S, Door, Doors, door
from common.guard import Guard
from common.guarded_app import GuardedApp
from common.own_hosts import OwnHosts, is_loopback
from webui.admin.routes import add_admin
from webui.answer_feed import ASSETS, AnswerFeed, add_answer_feed, add_assets
from webui.answering import Answering
from webui.documents.routes import add_documents
from webui.files.reading import ReadPaper
from webui.files.routes import add_files
from webui.gateway_client import GatewayClient
from webui.login.gate import LOGIN, OPEN, Admit, LoginGate
from webui.login.key_login import KeyLogin
from webui.login.routes import add_login
from webui.login.trusted_header import TrustedHeader
from webui.login.user_keys import UserKeys
from webui.login.visitor import user_id, visitor_key, visitor_of
from webui.notices import Notices
from webui.opinions.routes import add_opinions
from webui.results.downloads import MakeTrainingRows, MaskRow, add_downloads
from webui.session import BrowserCookie
from webui.settings import WebuiSettings
from webui.sharing.routes import add_sharing
from webui.status_cache import StatusCache
from webui.store.page_store import PageStore
from webui.study.desk import StudyDesk
from webui.study.errands import StudyWork
from webui.study.routes import StudyParts, add_studies

if TYPE_CHECKING:
    from webui.login.oidc.provider import Provider
    from webui.pages.page_events import PageEvents

# The browser itself refuses to fetch anything that is not ours, whatever a model writes into its answer.
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",  # Gradio's start-up script and its js= snippets
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    ]
)

SWITCH_S = 0.5e-3
"""After how long a busy event loop lets a thread of the store go on. A transaction gives Python's lock away
with each statement: at Python's own 5 ms, questions that came at once waited for it most of their time."""
PAGE_BYTES = 4 * 1024 * 1024
"""Largest event of a page: a long conversation."""
PAGES = Door("public", "either", body_bytes=PAGE_BYTES)
"""Of everything that Gradio answers: events come as JSON, files as forms."""


def create_app(
    settings: WebuiSettings,
    training: MakeTrainingRows | None = None,
    mask: MaskRow | None = None,
    paper: ReadPaper | None = None,
) -> FastAPI:
    """The whole web UI. It starts and answers also while the gateway is away. `training` makes rows for a
    training out of feedback; without it the results page offers none. `mask` hides personal data in files.
    `paper` reads PDFs for the chat, which takes none without it."""
    # Gradio reads these when Blocks are built: no telemetry, no version check.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    # After every event Gradio sums up the last 10,000, for a monitoring page that is switched off here.
    os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(10**9)
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    # At its first event Gradio asks matplotlib for its backend, which takes half a second to find one.
    os.environ.setdefault("MPLBACKEND", "agg")
    parts = _Parts(settings)
    client, cache, store = parts.client, parts.cache, parts.store
    app = FastAPI(
        title="kodolly web UI", lifespan=parts.running, docs_url=None, redoc_url=None, openapi_url=None
    )
    served = _add_answers(app, parts)
    _add_health(app)
    admit = _add_login(app, settings, parts)
    add_admin(app, client, lambda request: _administers(settings, request))
    texts = settings.shows_feedback
    add_downloads(app, client, training, mask, texts=texts)
    add_documents(app, client, cache)
    add_opinions(app, client, store)
    _add_studies(app, settings, parts, mask)
    add_files(app, store.files, paper)
    add_sharing(app, store.shares, store.files)
    _add_pages(app, settings, parts, served, training is not None)
    doors = Doors(app.routes, {"": PAGES, "/page/assets": ASSETS})
    app.add_middleware(GuardedApp[None], doors=doors, guard=_guard(settings), admit=_admit)
    _add_entrance(app, settings, admit, parts.user_keys)
    return app


class _Parts:
    """The services that the pages use, opened and closed with the app."""

    def __init__(self, settings: WebuiSettings) -> None:
        key = settings.api_key.get_secret_value() if settings.api_key else None
        self._own = GatewayClient(settings.gateway_url, key)
        """Asks with the page's own key, for what runs."""
        self.client = GatewayClient(
            settings.gateway_url, None if settings.login == "key" else key, key=visitor_key
        )
        """Asks with the key of whoever is served, if they have one."""
        named = settings.login in ("header", "oidc")
        self.user_keys = UserKeys(self.client, key) if named and key else None
        self.provider = _provider(settings)
        self.cache = StatusCache(self._own)
        self.store = PageStore(settings.store_url())
        self.answering = Answering(
            self.client,
            self.store.conversations.write_answer,
            settings.answer_without_page_s,
            rater_of=self.store.users.rater_id,
            images_of=self.store.files.data_urls,
        )
        self.study_work = StudyWork(self._own, self.store.study_errands)

    @asynccontextmanager
    async def running(self, _: FastAPI) -> AsyncIterator[None]:
        """While the app runs; all is closed when the block is left."""
        sys.setswitchinterval(SWITCH_S)
        try:
            async with self.cache.running(), self.answering.running(), self.study_work.running():
                yield
        finally:
            await self.store.close()
            await self.client.aclose()
            await self._own.aclose()
            if self.provider is not None:
                await self.provider.aclose()


def _add_answers(app: FastAPI, parts: _Parts) -> "PageEvents":
    """The routes that are asked for at every question: added first, they are found first."""
    from webui.pages.page_events import PageEvents

    add_answer_feed(app, AnswerFeed(parts.answering, parts.store.conversations))
    served = PageEvents()
    served.add_route(app)
    return served


def _add_pages(
    app: FastAPI, settings: WebuiSettings, parts: _Parts, served: "PageEvents", training: bool
) -> None:
    from webui.pages.app import build_pages, mount_pages

    given = {"training": training, "texts": settings.shows_feedback}
    with warnings.catch_warnings():
        # Gradio says so for every app of several pages, also for one that never asked for SSR.
        warnings.filterwarnings("ignore", "SSR mode is not supported")
        url = settings.public_gateway_url or settings.gateway_url
        pages = build_pages(url, parts.client, parts.cache, parts.store, parts.answering, served, **given)
        mount_pages(app, pages, add_assets(app), links=_links(settings))


def _provider(settings: WebuiSettings) -> "Provider | None":
    """Who logs people in, where that is a provider."""
    if settings.login != "oidc":
        return None
    from webui.login.oidc.setup import provider_of

    return provider_of(settings)


def _add_health(app: FastAPI) -> None:
    @app.get("/healthz")
    @door("public", any_host=True)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}


def _add_studies(app: FastAPI, settings: WebuiSettings, parts: _Parts, mask: MaskRow | None) -> None:
    desk = StudyDesk(parts.store, parts.study_work, parts.cache)
    studies = StudyParts(desk, parts.store, lambda request: _administers(settings, request), mask)
    add_studies(app, studies, _links(settings))


def _administers(settings: WebuiSettings, request: Request) -> bool:
    """Whether somebody may use the page's way to the gateway's /admin, which asks for an admin key in any
    case. Where nobody logs in, that is whoever sits at this machine, as for the gateway itself."""
    if settings.login == "none":
        return is_loopback(settings.host)
    visitor = visitor_of(request.state)
    return visitor is not None and visitor.admin


def _links(settings: WebuiSettings) -> tuple[str, ...]:
    """Which links the header has besides those that it always has."""
    if settings.login in ("key", "oidc"):
        return ("account",)  # it leads administrators on
    return ("admin",) if settings.login == "header" or is_loopback(settings.host) else ()


def _add_login(app: FastAPI, settings: WebuiSettings, parts: _Parts) -> Admit | None:
    """The routes of a login that has pages of its own, and what tells who has logged in there."""
    if settings.login == "key":
        keys = KeyLogin(parts.client, parts.store.sessions)
        add_login(app, keys)
        return keys.admit
    if parts.provider is not None:
        from webui.login.oidc.setup import add_provider_login

        return add_provider_login(app, settings, parts.provider, parts.store.sessions)
    return None


def _add_entrance(app: FastAPI, settings: WebuiSettings, admit: Admit | None, keys: UserKeys | None) -> None:
    """What tells who asks, in front of the guard: nobody's body is read before. Around it stands what adds
    headers to every answer."""
    raters = frozenset(user_id(settings.login, name) for name in settings.login_raters)
    if settings.login == "none":
        app.add_middleware(BrowserCookie)
    elif admit is not None:
        open_to_all = OPEN | LOGIN[settings.login]
        app.add_middleware(LoginGate, admit=admit, open_to_all=open_to_all, raters=raters, keys=keys)
    else:
        from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

        proxies = [str(network) for network in settings.login_proxies]
        header = TrustedHeader(settings.login_header, settings.login_proxies, settings.login_admins)
        # Behind the gate, which must see the proxy's own address and not the one that it forwards.
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=proxies)
        app.add_middleware(LoginGate, admit=header.admit, raters=raters, keys=keys)
    app.add_middleware(Notices)
    app.add_middleware(SecurityHeaders)


def _guard(settings: WebuiSettings) -> Guard[None]:
    """Nobody logs in here: what keeps other sites' pages out is the names of Host and Origin."""
    names = OwnHosts(settings.host, settings.allowed_hosts + settings.public_names)
    return Guard(names, CrossOrigin(), lambda _token, _door: None, lambda: False, PAGE_BYTES, BODY_S)


def _admit(_key: None, _door: Door, _body: bytes) -> AbstractAsyncContextManager[None]:
    return nullcontext()


class SecurityHeaders:
    """Adds the headers to every response, without touching bodies: streams and disconnects pass through."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("content-security-policy", CONTENT_SECURITY_POLICY)
                headers.setdefault("referrer-policy", "no-referrer")
                headers["x-content-type-options"] = "nosniff"
            await send(message)

        await self.app(scope, receive, send_with_headers)
