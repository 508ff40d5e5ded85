"""The guard in front of every route of gateway, controller and web UI.

In this order, and before a byte of the body is read: Host, Origin and Sec-Fetch-Site, key and scope, size,
content type. Then the body comes, within its size and time, and only a whole one is handed on.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.cors import CrossOrigin
from common.doors import Door, Doors
from common.errors import (
    ApiError,
    BadRequest,
    PayloadTooLarge,
    PermissionDenied,
    UnsupportedMediaType,
    error_bytes,
)
from common.http import bearer_token
from common.own_names import OwnNames

K = TypeVar("K")
Headers = dict[bytes, bytes]
_JSON = frozenset(
    (b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8")
)
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Guard(Generic[K]):
    """Decides from a request's head. `K` is what a key becomes."""

    def __init__(
        self,
        names: OwnNames,
        cross_origin: CrossOrigin,
        authenticate: Callable[[str, Door], K],
        asks_key: Callable[[], bool],
        body_bytes: int,
        body_s: float,
    ) -> None:
        """`authenticate` takes a token ("" for none) and raises ApiError; `asks_key` tells whether a key is
        needed at all; `body_bytes` and `body_s` are for doors that name none."""
        self.names, self.cross_origin = names, cross_origin
        self._authenticate, self._asks_key = authenticate, asks_key
        self.body_bytes, self.body_s = body_bytes, body_s

    def check(self, scope: Scope, door: Door) -> K:
        """Who asks. Raises ApiError for whoever may not, or asks in a way that is not taken."""
        given = scope["headers"]
        headers: Headers = dict(given)
        if len(headers) != len(given):
            headers = dict(reversed(given))  # the first of each counts
        if b"host" not in headers or sum(name == b"host" for name, _ in given) > 1:
            _require_one_host(scope, headers)
        keyed = door.access == "admin" or (door.access != "public" and self._asks_key())
        if not keyed and not door.any_host:
            self._check_page(scope, headers)
        length = headers.get(b"content-length", b"0")
        key = self._authenticate(_token(headers), door)
        limit = self.limit(door)
        if length != b"0" and (not length.isdigit() or len(length) > 18 or int(length) > limit):
            raise too_large(limit)
        if length != b"0" or b"transfer-encoding" in headers:
            _check_content(headers.get(b"content-type", b""), door)
        return key

    def limit(self, door: Door) -> int:
        """Largest body, in bytes."""
        return self.body_bytes if door.body_bytes is None else door.body_bytes

    def seconds(self, door: Door) -> float:
        """Longest time for the body to arrive."""
        return self.body_s if door.body_s is None else door.body_s

    def _check_page(self, scope: Scope, headers: Headers) -> None:
        """Without a key everything that comes from this machine is let in: so no other site's page may."""
        host = headers.get(b"host")
        if host is not None and not self.names.owns(host):
            raise PermissionDenied(
                f"This server is not known as {host.decode('latin-1')!r}.",
                code="host_not_allowed",
                hint="If it is a name of yours, put it into the setting allowed_hosts.",
            )
        origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site")
        if origin is None:
            if site != b"cross-site" or _is_navigation(scope, headers) or "*" in self.cross_origin.origins:
                return
        elif (
            (origin == b"null" and site == b"same-origin")
            or self._is_own(origin, host or b"")
            or self.cross_origin.allowed(origin) is not None
        ):
            return
        raise PermissionDenied(
            "Pages of other sites may not ask this server.",
            code="origin_not_allowed",
            hint="If the page is yours, put its origin into the setting cors_origins.",
        )

    def _is_own(self, origin: bytes, host: bytes) -> bool:
        try:
            parts = urlsplit(origin.decode("latin-1"))
            port = parts.port or _DEFAULT_PORTS[parts.scheme]
            asked = urlsplit(f"{parts.scheme}://{host.decode('latin-1')}")
            same = parts.hostname == asked.hostname and port == (asked.port or _DEFAULT_PORTS[parts.scheme])
            return same or self.names.is_configured(parts.hostname or "")
        except (ValueError, KeyError):
            return False


class GuardedApp(Generic[K]):
    """An ASGI app behind the guard. The key is handed on as `request.state.key`."""

    def __init__(
        self,
        app: ASGIApp,
        doors: Doors,
        guard: Guard[K],
        admit: Callable[[K, Door, bytes], AbstractAsyncContextManager[None]],
    ) -> None:
        """`admit` takes a key, the door and the body, and holds what the request may use while it runs."""
        self._app, self._doors, self._guard, self._admit = app, doors, guard, admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        origin = next((value for name, value in scope["headers"] if name == b"origin"), b"")
        if shared := self._guard.cross_origin.answer_headers(origin):
            send = _with_headers(send, shared)
        entry = self._doors.find(scope)
        if scope["method"] == "OPTIONS":
            await self._preflight(scope, receive, send, origin, entry.methods)
            return
        if scope["method"] == "HEAD" and "GET" in entry.methods and "HEAD" not in entry.methods:
            scope = {**scope, "method": "GET"}  # the server leaves the body out
            entry = self._doors.find(scope)
        try:
            key = self._guard.check(scope, entry.door)
        except ApiError as error:
            await _refuse(error, scope, receive, send)
            return
        await self._serve(scope, receive, send, entry.door, key)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, door: Door, key: K) -> None:
        scope.setdefault("state", {})["key"] = key
        running = False
        try:
            body = b""
            if _has_body(scope):
                whole = await self._body(receive, door)
                if whole is None:
                    return
                body, receive = whole, _replayed(whole, receive)
            async with self._admit(key, door, body):
                running = True
                await self._app(scope, receive, send)
        except ApiError as error:
            if running:
                raise
            await _refuse(error, scope, receive, send)

    async def _body(self, receive: Receive, door: Door) -> bytes | None:
        """The whole body; None when the client has gone. Raises PayloadTooLarge, and BadRequest when late."""
        limit, seconds = self._guard.limit(door), self._guard.seconds(door)
        body = bytearray()
        try:
            async with asyncio.timeout(seconds):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        return None
                    body += message.get("body", b"")
                    if len(body) > limit:
                        raise too_large(limit)
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError as error:
            raise BadRequest(
                f"The body did not arrive within {seconds:.0f} s.", code="body_timeout"
            ) from error

    async def _preflight(
        self, scope: Scope, receive: Receive, send: Send, origin: bytes, methods: frozenset[str]
    ) -> None:
        headers = dict(scope["headers"])
        taken = ", ".join(sorted(methods)).encode() or b"GET"
        asked = headers.get(b"access-control-request-headers", b"")
        answer = Response(status_code=204)
        answer.raw_headers = [
            pair
            for pair in self._guard.cross_origin.preflight_headers(origin, asked, taken)
            if pair[0] not in _ANSWER_NAMES
        ]
        await answer(scope, receive, send)


_ANSWER_NAMES = frozenset((b"access-control-allow-origin", b"access-control-expose-headers", b"vary"))
"""Added to every answer already."""


def too_large(limit: int) -> PayloadTooLarge:
    """The body has more than `limit` bytes."""
    return PayloadTooLarge(f"The body is too large; at most {limit} bytes are taken.")


def _require_one_host(scope: Scope, headers: Headers) -> None:
    """RFC 9112, 3.2: else two servers in a row may understand different requests."""
    if b"host" in headers or scope["http_version"] != "1.0":
        raise BadRequest(
            "A request needs exactly one Host header.", code="invalid_http", headers={"connection": "close"}
        )


def _is_navigation(scope: Scope, headers: Headers) -> bool:
    """A person follows a link, and sees the answer; the page with the link does not."""
    return (
        scope["method"] in ("GET", "HEAD")
        and headers.get(b"sec-fetch-mode") == b"navigate"
        and headers.get(b"sec-fetch-dest") == b"document"
    )


def _check_content(content_type: bytes, door: Door) -> None:
    """A page on any site may send forms, text, and what has no type, without asking first."""
    if content_type in _JSON and door.content != "form":
        return
    kind = content_type.partition(b";")[0].strip().lower()
    if door.content != "json" and kind == b"multipart/form-data":
        return
    if door.content != "form":
        if kind == b"application/json" or (kind.startswith(b"application/") and kind.endswith(b"+json")):
            return
        said = content_type.decode("latin-1")
        raise UnsupportedMediaType(
            f"The body must be application/json, not {said}." if said else "The body's type is missing.",
            hint="Send the header `Content-Type: application/json`.",
        )
    raise UnsupportedMediaType("The body must be multipart/form-data.")


def _token(headers: Headers) -> str:
    """`Authorization: Bearer`, or Anthropic's `x-api-key`; "" when there is none."""
    authorization = headers.get(b"authorization")
    if authorization is not None:
        return bearer_token(authorization.decode("latin-1"))
    return headers.get(b"x-api-key", b"").decode("latin-1")


def _has_body(scope: Scope) -> bool:
    return any(
        (name == b"content-length" and value != b"0") or name == b"transfer-encoding"
        for name, value in scope["headers"]
    )


def _replayed(body: bytes, receive: Receive) -> Receive:
    waiting = [body]

    async def replay() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replay


def _with_headers(send: Send, headers: list[tuple[bytes, bytes]]) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *headers]
        await send(message)

    return send_with_headers


async def _refuse(error: ApiError, scope: Scope, receive: Receive, send: Send) -> None:
    headers = dict(error.headers)
    if _has_body(scope):
        headers["connection"] = "close"  # what it still sends is not read
    answer = Response(error_bytes(error), error.status, headers, "application/json")
    await answer(scope, receive, send)
