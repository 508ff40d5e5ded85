"""What the page's script asks for, below /documents/api. A browser is known by its cookie or login."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Path, Query, Request, UploadFile
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from common.documents_service import UPLOAD_BYTES, UPLOAD_S
from common.doors import door
from webui.documents.answers import opened, pieces, question_body
from webui.documents.stores import NotAllowed, StoreReader
from webui.failures import advice, headline
from webui.gateway_client import GatewayClient, GatewayError
from webui.login.visitor import visitor_of
from webui.session import sender
from webui.status_cache import StatusCache
from webui.texts import language, text

ANSWER_S = 600.0
"""Longest wait for an answer; the gateway ends it earlier."""
SAID_BY_THE_SERVICE = ("refused", "model_not_found")
"""Failures whose status may be about a model, a store or a file; the gateway's own words say which."""
Handler = Callable[..., Awaitable[Any]]
PLAIN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$"
PlainId = Annotated[str, Path(pattern=PLAIN)]
"""The id of a store or a file: without characters that would lead elsewhere in a path."""


class NewStore(BaseModel):
    """A store to make."""

    name: str = Field(min_length=1, max_length=200)


class ChangedStore(BaseModel):
    """What is given is changed."""

    name: str | None = Field(default=None, min_length=1, max_length=200)
    shared: bool | None = None


class NewUpload(BaseModel):
    """A file that will come in parts."""

    name: str = Field(min_length=1, max_length=4096)
    bytes: int = Field(ge=1)


class CompleteUpload(BaseModel):
    """Its parts, in order."""

    name: str = Field(min_length=1, max_length=4096)
    parts: list[Annotated[str, Field(pattern=PLAIN)]] = Field(min_length=1, max_length=2000)


class StoreQuestion(BaseModel):
    """A question to a model about a store."""

    store: str = Field(pattern=PLAIN)
    model: str = Field(min_length=1, max_length=200)
    question: str = Field(min_length=1, max_length=10_000)


def add_documents(app: FastAPI, client: GatewayClient, cache: StatusCache) -> None:
    """Add the routes."""
    router = APIRouter(prefix="/documents/api")
    _add_stores(router, client, cache)
    _add_files(router, client)
    _add_uploads(router, client)
    _add_answers(router, client)
    app.include_router(router)


def _add_stores(router: APIRouter, client: GatewayClient, cache: StatusCache) -> None:
    @router.get("/stores")
    @door("public")
    @_told
    async def stores(request: Request) -> Any:
        await cache.look()
        models = [one.id for one in cache.models if one.may_chat and one.kind == "worker"]
        found = await _reader(client, request).stores()
        return {"stores": found, "models": [name for name in models if "@" not in name]}

    @router.post("/stores")
    @door("public")
    @_told
    async def make(request: Request, asked: NewStore) -> Any:
        return await _reader(client, request).make(asked.name)

    @router.post("/stores/{store_id}")
    @door("public")
    @_told
    async def change(request: Request, store_id: PlainId, asked: ChangedStore) -> Any:
        return await _reader(client, request).change(store_id, asked.name, asked.shared)

    @router.delete("/stores/{store_id}")
    @door("public")
    @_told
    async def delete(request: Request, store_id: PlainId) -> Any:
        await _reader(client, request).delete(store_id)
        return {}


def _add_files(router: APIRouter, client: GatewayClient) -> None:
    @router.get("/stores/{store_id}/files")
    @door("public")
    @_told
    async def files(request: Request, store_id: PlainId) -> Any:
        return {"files": await _reader(client, request).files(store_id)}

    @router.post("/stores/{store_id}/files")
    @door("public", content="form", body_bytes=UPLOAD_BYTES, body_s=UPLOAD_S)
    @_told
    async def upload(request: Request, store_id: PlainId, file: UploadFile) -> Any:
        reader = _reader(client, request)
        return {"id": await reader.upload(store_id, file.filename or "file", await file.read())}

    @router.delete("/stores/{store_id}/files/{file_id}")
    @door("public")
    @_told
    async def remove(request: Request, store_id: PlainId, file_id: PlainId) -> Any:
        await _reader(client, request).remove(store_id, file_id)
        return {}


def _add_uploads(router: APIRouter, client: GatewayClient) -> None:
    """For files that are too large for one request."""

    @router.post("/stores/{store_id}/uploads")
    @door("public")
    @_told
    async def begin(request: Request, store_id: PlainId, asked: NewUpload) -> Any:
        return {"id": await _reader(client, request).begin_upload(store_id, asked.name, asked.bytes)}

    @router.post("/stores/{store_id}/uploads/{upload_id}/parts")
    @door("public", content="form", body_bytes=UPLOAD_BYTES, body_s=UPLOAD_S)
    @_told
    async def add_part(request: Request, store_id: PlainId, upload_id: PlainId, data: UploadFile) -> Any:
        return {"id": await _reader(client, request).add_part(store_id, upload_id, await data.read())}

    @router.post("/stores/{store_id}/uploads/{upload_id}/complete")
    @door("public")
    @_told
    async def complete(request: Request, store_id: PlainId, upload_id: PlainId, asked: CompleteUpload) -> Any:
        reader = _reader(client, request)
        return {"id": await reader.end_upload(store_id, upload_id, asked.name, asked.parts)}

    @router.delete("/stores/{store_id}/uploads/{upload_id}")
    @door("public")
    @_told
    async def cancel(request: Request, store_id: PlainId, upload_id: PlainId) -> Any:
        await _reader(client, request).cancel_upload(store_id, upload_id)
        return {}


def _add_answers(router: APIRouter, client: GatewayClient) -> None:
    @router.get("/stores/{store_id}/files/{file_id}/passage")
    @door("public")
    @_told
    async def passage(
        request: Request,
        store_id: PlainId,
        file_id: PlainId,
        page: Annotated[int | None, Query(ge=1)] = None,
        start: Annotated[int | None, Query(ge=0)] = None,
        end: Annotated[int | None, Query(ge=0)] = None,
        quote: Annotated[str, Query(max_length=8000)] = "",
    ) -> Any:
        pages = await _reader(client, request).pages(store_id, file_id)
        return opened(pages, page, start, end, quote)

    @router.post("/ask")
    @door("public")
    @_told
    async def ask(request: Request, asked: StoreQuestion) -> Any:
        await _reader(client, request).store(asked.store)
        body = question_body(asked.model, asked.store, asked.question)
        return {"pieces": pieces(await client.send("POST", "/v1/responses", body, timeout_s=ANSWER_S))}


def _reader(client: GatewayClient, request: Request) -> StoreReader:
    user = sender(request.headers.get("cookie"), request.state)
    if user is None:
        raise NotAllowed
    visitor = visitor_of(request.state)
    return StoreReader(client, user, keyed=visitor is not None and visitor.key is not None)


def _told(handler: Handler) -> Handler:
    """Failures in the reader's language; who may not see a store learns no more than that."""

    @wraps(handler)
    async def answered(request: Request, *given: Any, **named: Any) -> Response:
        lang = language(request.headers.get("accept-language"))
        try:
            return JSONResponse(await handler(request, *given, **named))
        except NotAllowed:
            return _error(404, text(lang, "documents_not_yours"), "")
        except GatewayError as error:
            failure = error.failure
            if failure.kind in SAID_BY_THE_SERVICE:
                return _error(502, failure.message, "")
            return _error(502, headline(failure, lang), advice(failure, lang))

    return answered


def _error(status: int, message: str, hint: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "hint": hint}}, status_code=status)
