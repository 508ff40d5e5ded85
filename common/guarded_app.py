"""An ASGI app behind the guard: nobody's body is read before it is known who sends it."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from typing import Generic

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.content_encoding import decoded
from common.cors import HeaderPairs
from common.doors import Door, Doors, PathEntry
from common.errors import ApiError, BadRequest, MethodNotAllowed, Overloaded, error_bytes
from common.guard import Guard, K, too_large
from common.json_size import MOST_VALUES, has_too_many_values
from common.strict_json import require_json

MOST_ARRIVING = 128 * 1024 * 1024
"""Bytes of all bodies that are not complete yet: clients that never finish theirs take no more memory
than this."""


def admit_json(_key: object, door: Door, body: bytes) -> AbstractAsyncContextManager[None]:
    """Holds nothing: whoever is let in may do everything. Raises BadRequest for what is no JSON."""
    if body and door.content == "json":
        require_json(body)
    return nullcontext()


class GuardedApp(Generic[K]):
    """Answers preflights, refuses whom the guard refuses, reads the body within its size and time, and only
    then asks the app. It alone writes CORS headers. Who asks is handed on as `request.state.key`."""

    def __init__(
        self,
        app: ASGIApp,
        doors: Doors,
        guard: Guard[K],
        admit: Callable[[K, Door, bytes], AbstractAsyncContextManager[None]],
    ) -> None:
        """`admit` takes a key, the door and the body, and holds what the request may use while it runs; it
        raises ApiError for what the key may not do."""
        self._app, self._doors, self._guard, self._admit = app, doors, guard, admit
        self._arriving = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"")
        entry = self._doors.find(scope)
        if scope["method"] == "OPTIONS" and entry.methods:
            asked = headers.get(b"access-control-request-headers", b"")
            methods = ", ".join(sorted(entry.methods)).encode()
            answer = Response(status_code=204)
            answer.raw_headers = self._guard.cross_origin.preflight_headers(origin, asked, methods)
            await answer(scope, receive, send)
            return
        send = _with_policy(send, self._guard.cross_origin.answer_headers(origin))
        if scope["method"] == "HEAD" and "GET" in entry.methods and "HEAD" not in entry.methods:
            scope = {**scope, "method": "GET"}  # the server leaves the body out
            entry = self._doors.find(scope)
        async with AsyncExitStack() as admission:
            try:
                key = self._guard.check(scope, entry.door)
                if "\0" in scope["path"] or b"%00" in scope["query_string"]:
                    # No name of ours has one, and PostgreSQL fails at it.
                    raise BadRequest("The address holds the character U+0000.")
                _check_method(scope, entry)
                body = await self._body(scope, receive, entry.door)
                if body is None:
                    return
                if codings := headers.get(b"content-encoding"):
                    limit = self._guard.body_bytes(entry.door)
                    body = await decoded(body, codings.decode("latin-1"), limit)
                if not _is_form(headers) and has_too_many_values(body):
                    raise BadRequest(f"The body holds too many values; at most {MOST_VALUES} are taken.")
                await admission.enter_async_context(self._admit(key, entry.door, body))
            except ApiError as error:
                await _refuse(error, scope, receive, send)
                return
            scope.setdefault("state", {})["key"] = key
            await self._app(scope, _replayed(body, receive) if body else receive, send)

    async def _body(self, scope: Scope, receive: Receive, door: Door) -> bytes | None:
        """The whole body; None when the client has gone. Raises PayloadTooLarge, BadRequest when it is late,
        and Overloaded while too much of others is on its way."""
        if not _has_body(scope) or scope["method"] in (
            "GET",
            "HEAD",
        ):  # theirs mean nothing (RFC 9110, 9.3.1)
            return b""
        limit, seconds = self._guard.body_bytes(door), self._guard.body_s(door)
        body = bytearray()
        try:
            async with asyncio.timeout(seconds):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        return None
                    piece = message.get("body", b"")
                    body += piece
                    self._arriving += len(piece)
                    if len(body) > limit:
                        raise too_large(limit)
                    if self._arriving > MOST_ARRIVING:
                        raise Overloaded("Too many requests are being sent.", headers={"retry-after": "2"})
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError as error:
            raise BadRequest(
                f"The body did not arrive within {seconds:.0f} s.", code="body_timeout"
            ) from error
        finally:
            self._arriving -= len(body)


def _check_method(scope: Scope, entry: PathEntry) -> None:
    """Raises MethodNotAllowed before the body is read that nobody would look at."""
    if entry.methods and scope["method"] not in entry.methods:
        raise MethodNotAllowed(
            f"{scope['path']} does not take {scope['method']}.",
            headers={"allow": ", ".join(sorted(entry.methods))},
        )


def _is_form(headers: dict[bytes, bytes]) -> bool:
    return headers.get(b"content-type", b"").lower().startswith(b"multipart/")


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


def _with_policy(send: Send, policy: HeaderPairs) -> Send:
    """`send` with these CORS headers in place of any that the app thinks right."""

    async def send_with_policy(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = message.get("headers", ())
            own = [pair for pair in given if not pair[0].lower().startswith(b"access-control-")]
            message["headers"] = [*own, *policy]
        await send(message)

    return send_with_policy


async def _refuse(error: ApiError, scope: Scope, receive: Receive, send: Send) -> None:
    headers = dict(error.headers)
    if _has_body(scope):
        headers["connection"] = "close"  # what it still sends is not read
    answer = Response(error_bytes(error), error.status, headers, "application/json")
    await answer(scope, receive, send)
