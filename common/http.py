"""The border where exceptions become HTTP answers, shared by the two FastAPI apps."""

import hmac
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from common.errors import (
    ApiError,
    BadRequest,
    InternalError,
    InvalidApiKey,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    UnsupportedMediaType,
    error_bytes,
)
from common.validation_message import invalid_body

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response

logger = logging.getLogger(__name__)


def _no_route(path: str) -> ApiError:
    return NotFound(f"There is no route {path}.")


def install_error_handlers(app: "FastAPI", no_route: Callable[[str], ApiError] = _no_route) -> None:
    """Make every failure of `app`, also unknown routes and bad bodies, an OpenAI error object.

    `no_route` makes the error for a path that no route has.
    """
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException

    async def on_api_error(_request: "Request", error: Exception) -> "Response":
        assert isinstance(error, ApiError)
        return _rendered(error)

    async def on_validation_error(_request: "Request", error: Exception) -> "Response":
        assert isinstance(error, RequestValidationError)
        return _rendered(invalid_body(error.errors(), error.body))

    async def on_http_exception(request: "Request", error: Exception) -> "Response":
        assert isinstance(error, HTTPException)
        if error.status_code == 404:
            return _rendered(no_route(request.url.path))
        return _rendered(_from_status(error.status_code, request.method, request.url.path, str(error.detail)))

    async def on_bug(request: "Request", error: Exception) -> "Response":
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return _rendered(InternalError("The server met an unexpected error; its log has the details."))

    handlers: list[tuple[type[Exception], Callable[..., Any]]] = [
        (ApiError, on_api_error),
        (RequestValidationError, on_validation_error),
        (HTTPException, on_http_exception),
        (Exception, on_bug),
    ]
    for kind, handler in handlers:
        app.add_exception_handler(kind, handler)


def _rendered(error: ApiError) -> "Response":
    from starlette.responses import Response

    return Response(
        error_bytes(error), status_code=error.status, headers=error.headers, media_type="application/json"
    )


def _from_status(status: int, method: str, path: str, detail: str) -> ApiError:
    if status == 405:
        return MethodNotAllowed(f"{path} does not take {method}.")
    if status == 413:
        return PayloadTooLarge(detail)
    if status == 415:
        return UnsupportedMediaType("The body must be application/json.")
    if status >= 500:
        return InternalError("The server met an unexpected error; its log has the details.")
    return BadRequest(detail)


def bearer_token(authorization: str | None) -> str:
    """The token of an `Authorization: Bearer` header; "" when there is none."""
    if authorization is not None and authorization.startswith("Bearer "):
        return authorization[7:].strip()
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def require_token(given: str, accepted: Sequence[str]) -> None:
    """Compare in constant time. Raises InvalidApiKey; its message never repeats the key."""
    matches = [hmac.compare_digest(given.encode(), token.encode()) for token in accepted]
    if not any(matches):
        raise InvalidApiKey(
            "The API key is missing." if not given else "The API key is not valid.",
            hint="Send it as `Authorization: Bearer <key>`.",
            headers={"www-authenticate": "Bearer"},
        )
