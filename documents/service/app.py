"""The documents service's HTTP face. The gateway stands in front of it and says on whose behalf it asks."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

from common.cors import CrossOrigin
from common.documents_service import UPLOAD_BYTES
from common.doors import BODY_S, PUBLIC, Door, Doors, door
from common.guard import Guard
from common.guarded_app import GuardedApp, admit_json
from common.http import install_error_handlers, require_token
from common.own_hosts import OwnHosts
from documents.korean_child import kiwi_in_a_child
from documents.read.file import ReadLimits
from documents.read.ocr import require_tesseract
from documents.search.vectors import VectorCache
from documents.service import attached_files, chat, file_search, files, uploads, vector_stores
from documents.service.embedder import Embedder
from documents.service.gateway_client import GatewayClient
from documents.service.indexing import Indexer
from documents.service.opening import open_storage
from documents.service.pooling import PoolingModels
from documents.service.service import Service
from documents.service.settings import DocumentsSettings

logger = logging.getLogger(__name__)

public = APIRouter()


@public.get("/healthz")
@door("public", any_host=True)
async def healthz() -> dict[str, str]:
    """Whether this process answers."""
    return {"status": "ok"}


def create_app(settings: DocumentsSettings) -> FastAPI:
    """The service. Nothing runs before the lifespan starts."""
    app = FastAPI(title="kodolly documents", docs_url=None, redoc_url=None, lifespan=_lifespan(settings))
    install_error_handlers(app)
    for router in (
        public,
        chat.router,
        file_search.router,
        files.router,
        uploads.router,
        vector_stores.router,
        attached_files.router,
        chat.fallback,
    ):
        app.include_router(router)
    doors = Doors(app.routes, {"/openapi.json": PUBLIC})
    app.add_middleware(GuardedApp[None], doors=doors, guard=_guard(settings), admit=admit_json)
    return app


def _guard(settings: DocumentsSettings) -> Guard[None]:
    token = settings.token.get_secret_value()

    def authenticate(given: str, asked: Door) -> None:
        if asked.access != "public":
            require_token(given, [token])

    names = OwnHosts(settings.host)
    return Guard(names, CrossOrigin(), authenticate, lambda: True, UPLOAD_BYTES, BODY_S)


def _lifespan(
    settings: DocumentsSettings,
) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = await asyncio.to_thread(_opened, settings)
        app.state.service = service
        with kiwi_in_a_child():
            service.indexer.start()
            service.embedder.start()
            try:
                yield
            finally:
                await service.gateway.close()
                await asyncio.to_thread(service.indexer.stop)
                await asyncio.to_thread(service.embedder.stop)
        service.pooling.close()
        await asyncio.to_thread(service.storage.close)

    return lifespan


def _opened(settings: DocumentsSettings) -> Service:
    if settings.ocr:
        require_tesseract()
    url = settings.database_url.get_secret_value() if settings.database_url is not None else None
    storage = open_storage(settings.state_dir, url)
    if settings.embedding_model is not None and url is not None:
        from documents.postgres.extension import pgvector_at

        logger.info("vectors are compared by %s", pgvector_at(url).told())
    pooling, cache = PoolingModels(settings), VectorCache()
    embedder = Embedder(settings, storage, pooling, cache)
    indexer = Indexer(
        storage, ReadLimits(file_bytes=settings.max_file_bytes, ocr=settings.ocr), embedder.wake
    )
    gateway = GatewayClient(settings.gateway_url, settings.token.get_secret_value())
    return Service(settings, storage, indexer, gateway, pooling, embedder, cache)
