"""The routes of files and vector stores: the gateway says who asks, the documents service answers.

Bodies and answers pass as they are. `common.documents_service` says what the two agree on.
"""

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request

from common.closing_response import ClosingResponse
from common.documents_service import OWNER_HEADER, SEES_ALL_HEADER, UPLOAD_BYTES, UPLOAD_S
from common.doors import door
from common.errors import ModelNotReady, NotFound, UpstreamFailed, UpstreamTimeout
from server.accounts.entrance import KeyDep
from server.api.public import GatewayDep
from server.settings import GatewaySettings

if TYPE_CHECKING:
    import httpx2

    from server.accounts.keys import Key

ANSWER_S = 120.0
"""Longest wait for an answer; the first that cites passages after a start loads Kiwi."""
DOTS = frozenset((".", ".."))
"""Segments of a path that lead elsewhere (RFC 3986, 5.2.4)."""
FORWARDED = ("content-type", "accept")
PASSED_BACK = ("content-type", "content-length", "content-disposition", "x-should-retry")
FILE, STORE, UPLOAD = "/v1/files", "/v1/vector_stores", "/v1/uploads"
ROUTES = (
    ("GET", FILE),
    ("GET", f"{FILE}/{{file_id}}"),
    ("DELETE", f"{FILE}/{{file_id}}"),
    ("GET", f"{FILE}/{{file_id}}/content"),
    ("POST", UPLOAD),
    ("POST", f"{UPLOAD}/{{upload_id}}/complete"),
    ("POST", f"{UPLOAD}/{{upload_id}}/cancel"),
    ("POST", STORE),
    ("GET", STORE),
    ("GET", f"{STORE}/{{store_id}}"),
    ("POST", f"{STORE}/{{store_id}}"),
    ("DELETE", f"{STORE}/{{store_id}}"),
    ("POST", f"{STORE}/{{store_id}}/search"),
    ("POST", f"{STORE}/{{store_id}}/files"),
    ("GET", f"{STORE}/{{store_id}}/files"),
    ("GET", f"{STORE}/{{store_id}}/files/{{file_id}}"),
    ("POST", f"{STORE}/{{store_id}}/files/{{file_id}}"),
    ("DELETE", f"{STORE}/{{store_id}}/files/{{file_id}}"),
    ("GET", f"{STORE}/{{store_id}}/files/{{file_id}}/content"),
    ("POST", f"{STORE}/{{store_id}}/file_batches"),
    ("GET", f"{STORE}/{{store_id}}/file_batches/{{batch_id}}"),
    ("POST", f"{STORE}/{{store_id}}/file_batches/{{batch_id}}/cancel"),
    ("GET", f"{STORE}/{{store_id}}/file_batches/{{batch_id}}/files"),
)
"""Of the service, but for what holds a file or a part, whose door is wider."""


class DocumentsService:
    """The way to the service."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._url = (settings.documents_url or "").rstrip("/")
        self._token = settings.documents_token.get_secret_value()

    async def answer(self, request: Request, key: "Key", http: "httpx2.AsyncClient") -> ClosingResponse:
        """What it answers. Raises ApiError where there is none, or it cannot be reached."""
        import httpx2

        if not DOTS.isdisjoint(request.scope["path"].split("/")):
            # httpx takes them for steps, and would ask for another path than was allowed here.
            raise NotFound(f"There is no route {request.scope['path']}.")
        if not self._url:
            raise ModelNotReady(
                "This gateway has no documents service.",
                hint="Start `kodolly documents serve` and set gateway.documents_url.",
                code="documents_not_configured",
            )
        asked = await self._request(request, key, http)
        try:
            answer = await http.send(asked, stream=True)
        except httpx2.TimeoutException as error:
            raise UpstreamTimeout(
                f"The documents service has not answered within {ANSWER_S:.0f} s."
            ) from error
        except httpx2.HTTPError as error:
            raise UpstreamFailed(
                "The documents service cannot be reached.", hint="Is `kodolly documents serve` running?"
            ) from error
        if answer.status_code == 401:
            await answer.aclose()
            raise UpstreamFailed(
                "The documents service does not know this gateway.",
                hint="KODOLLY_DOCUMENTS_TOKEN must be the same for both.",
            )
        back = {name: value for name in PASSED_BACK if (value := answer.headers.get(name))}
        return ClosingResponse(
            answer.aiter_raw(), answer.aclose, status_code=answer.status_code, headers=back
        )

    async def _request(self, request: Request, key: "Key", http: "httpx2.AsyncClient") -> "httpx2.Request":
        headers = {name: value for name in FORWARDED if (value := request.headers.get(name))}
        headers |= {
            "authorization": f"Bearer {self._token}",
            OWNER_HEADER: key.id,
            "accept-encoding": "identity",
        }
        if key.admin:
            headers[SEES_ALL_HEADER] = "1"
        path = request.scope["raw_path"].decode("latin-1").rstrip("/")
        query = f"?{request.url.query}" if request.url.query else ""
        return http.build_request(
            request.method,
            self._url + path + query,
            content=await request.body(),
            headers=headers,
            timeout=ANSWER_S,
        )


def documents_router(settings: GatewaySettings) -> APIRouter:
    """All routes of the service."""
    service = DocumentsService(settings)

    @door("key")
    async def relay_documents(request: Request, key: KeyDep, gateway: GatewayDep) -> ClosingResponse:
        """Answered by the documents service, on behalf of the key."""
        return await service.answer(request, key, gateway.http)

    @door("key", content="form", body_bytes=UPLOAD_BYTES, body_s=UPLOAD_S)
    async def relay_upload(request: Request, key: KeyDep, gateway: GatewayDep) -> ClosingResponse:
        """Keep a file (`file` and `purpose` of a form), or a part of one (`data`)."""
        return await service.answer(request, key, gateway.http)

    router = APIRouter(tags=["documents"])
    for method, path in ROUTES:
        router.add_api_route(path, relay_documents, methods=[method], response_model=None)
    for path in (FILE, f"{UPLOAD}/{{upload_id}}/parts"):
        router.add_api_route(path, relay_upload, methods=["POST"], response_model=None)
    return router
