"""The join token, asked for before a byte of the body is read: strangers can neither look nor send much."""

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from common.errors import ApiError, PayloadTooLarge, error_bytes
from common.http import bearer_token, require_token

BODY_BYTES = 1024 * 1024
"""Far more than any registration needs."""


class Guard:
    """ASGI middleware around the controller's app."""

    def __init__(self, app: ASGIApp, join_token: SecretStr) -> None:
        self._app, self._join_token = app, join_token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._check(scope["path"], Headers(scope=scope))
            except ApiError as error:
                headers = error.headers | {"connection": "close"}  # what it still sends is not read
                response = Response(error_bytes(error), error.status, headers, "application/json")
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, path: str, headers: Headers) -> None:
        if path != "/healthz":
            require_token(bearer_token(headers.get("authorization")), [self._join_token.get_secret_value()])
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > BODY_BYTES:
            raise PayloadTooLarge(f"The body is longer than {BODY_BYTES} bytes.")
