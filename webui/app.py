"""The web UI as an ASGI app: Gradio's pages at `/` and GET /healthz."""

import os
import warnings
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.cors import CrossOrigin
from common.doors import BODY_S, Door, Doors, door
from common.guard import Guard
from common.guarded_app import GuardedApp
from common.own_hosts import OwnHosts
from webui.answering import Answering
from webui.documents.routes import add_documents
from webui.gateway_client import GatewayClient
from webui.results.downloads import TrainingRows, add_downloads
from webui.session import BrowserCookie
from webui.settings import WebuiSettings
from webui.status_cache import StatusCache
from webui.store.page_store import PageStore

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

PAGE_BYTES = 4 * 1024 * 1024
"""Largest event of a page: a long conversation."""
PAGES = Door("public", "either", body_bytes=PAGE_BYTES)
"""Of everything that Gradio answers: events come as JSON, files as forms."""


def create_app(settings: WebuiSettings, training: TrainingRows | None = None) -> FastAPI:
    """The whole web UI. It starts and answers also while the gateway is away. `training` makes rows for a
    training out of feedback; without it the results page offers none."""
    # Gradio reads these when Blocks are built: no telemetry, no version check.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    from webui.pages.app import build_pages, mount_pages

    key = settings.api_key.get_secret_value() if settings.api_key else None
    client = GatewayClient(settings.gateway_url, key)
    cache = StatusCache(client)
    store = PageStore(settings.store_url())
    answering = Answering(client, store.conversations.write_answer, settings.answer_without_page_s)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            async with cache.running(), answering.running():
                yield
        finally:
            await store.close()
            await client.aclose()

    app = FastAPI(title="kodolly web UI", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    _add_health(app)
    texts = settings.shows_feedback
    add_downloads(app, client, training, texts=texts)
    add_documents(app, client, cache)
    with warnings.catch_warnings():
        # Gradio says so for every app of several pages, also for one that never asked for SSR.
        warnings.filterwarnings("ignore", "SSR mode is not supported")
        url = settings.public_gateway_url or settings.gateway_url
        given = {"training": training is not None, "texts": texts}
        mount_pages(app, build_pages(url, client, cache, store, answering, **given))
    app.add_middleware(
        GuardedApp[None], doors=Doors(app.routes, {"": PAGES}), guard=_guard(settings), admit=_admit
    )
    app.add_middleware(BrowserCookie)
    app.add_middleware(SecurityHeaders)
    return app


def _add_health(app: FastAPI) -> None:
    @app.get("/healthz")
    @door("public", any_host=True)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}


def _guard(settings: WebuiSettings) -> Guard[None]:
    """Nobody logs in here: what keeps other sites' pages out is the names of Host and Origin."""
    names = OwnHosts(settings.host, settings.allowed_hosts)
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
                headers["content-security-policy"] = CONTENT_SECURITY_POLICY
                headers["referrer-policy"] = "no-referrer"
                headers["x-content-type-options"] = "nosniff"
            await send(message)

        await self.app(scope, receive, send_with_headers)
