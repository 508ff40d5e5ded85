"""The relay: one raw ASGI callable that passes an inference request to a worker or a provider.

Bytes go through as they are. Until the first whole event of a stream (or the whole body of a plain
answer) has come, the request can still move to another worker or end in a true HTTP status; after
that a failure is an error frame and [DONE], never a silent end.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from common.errors import ApiError, InternalError
from server import sse, upstream_errors
from server.directory import COOLDOWN_S, Directory, Upstream
from server.request import RELAYED, ClientGone, Receive, Scope, Send, parse_head, read_body
from server.settings import GatewaySettings

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
"""The first worker and at most two others."""

PASSED_ON = (b"content-type", b"accept", b"traceparent", b"tracestate")
"""Client headers that reach the engine. Authorization and cookies never do."""


class Retry(Exception):
    """This upstream failed before it began to answer; another may be asked."""

    def __init__(self, error: ApiError) -> None:
        self.error = error


@dataclass(slots=True)
class Exchange:
    """One client request on its way."""

    path: str
    request_id: str
    headers: dict[str, str]
    body: bytes
    stream: bool
    send: Send
    started: bool = False
    """True once the status line was sent: from then on no other upstream may be asked."""

    async def start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.started = True
        await self.send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [*headers, (b"x-request-id", self.request_id.encode())],
            }
        )

    async def write(self, data: bytes, *, more: bool) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": more})


@dataclass(slots=True)
class Relay:
    """Shared by all requests; `session` is opened and closed by the app's lifespan."""

    settings: GatewaySettings
    directory: Directory
    session: aiohttp.ClientSession

    async def __call__(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        """Answer one request, whatever happens; returns when the client has its answer or is gone."""
        began = time.monotonic()
        body = await read_body(scope, receive, self.settings.max_body_bytes)
        head = parse_head(body)
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"] if k in PASSED_ON}
        headers["x-request-id"] = request_id
        path = RELAYED[scope["path"]]
        exchange = Exchange(path, request_id, headers, body, bool(head.stream), send)
        work = asyncio.ensure_future(self._answer(exchange, head.model))
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ClientGone
            await self._conclude(exchange, work)
        finally:
            work.cancel()
            gone.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)
            logger.debug("%s %s model=%s %.3f s", request_id, path, head.model, time.monotonic() - began)

    async def _conclude(self, exchange: Exchange, work: "asyncio.Future[None]") -> None:
        """Hand on the work's failure; after the first byte it can only become an error frame."""
        failure = work.exception()
        if failure is None:
            return
        if not exchange.started or not exchange.stream:
            raise failure
        logger.error("%s failed in the middle of a stream", exchange.request_id, exc_info=failure)
        await _fail(exchange, InternalError("The gateway met an unexpected error."))

    async def _answer(self, exchange: Exchange, model: str) -> None:
        candidates = self.directory.candidates(model)
        last: ApiError | None = None
        for upstream in candidates[:MAX_ATTEMPTS]:
            upstream.in_flight += 1
            try:
                async with asyncio.timeout(self.settings.total_timeout_s):
                    return await self._ask(exchange, upstream)
            except Retry as retry:
                last = retry.error
                logger.warning("%s upstream %s: %s", exchange.request_id, upstream.id, last.message)
            except TimeoutError:
                await _fail(exchange, upstream_errors.too_slow(upstream, self.settings.total_timeout_s))
                return None
            finally:
                upstream.in_flight -= 1
        assert last is not None
        raise last

    async def _ask(self, exchange: Exchange, upstream: Upstream) -> None:
        # A plain answer comes in one piece at its end, so only the total limit fits it.
        limit = self.settings.first_event_timeout_s if exchange.stream else self.settings.total_timeout_s
        first_event_by = asyncio.get_running_loop().time() + limit
        async with self._open(exchange, upstream, first_event_by) as response:
            if response.status >= 400:
                await self._refuse(exchange, upstream, response)
            elif response.content_type == "text/event-stream":
                await self._stream(exchange, upstream, response, first_event_by)
            else:
                await self._whole(exchange, upstream, response)

    @asynccontextmanager
    async def _open(
        self, exchange: Exchange, upstream: Upstream, by: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send the request and wait for the response's header."""
        headers = dict(exchange.headers)
        if key := upstream.key.get_secret_value():
            headers["authorization"] = f"Bearer {key}"
        # An external base URL carries the version path itself.
        path = exchange.path.removeprefix("/v1") if upstream.kind == "external" else exchange.path
        try:
            async with asyncio.timeout_at(by):
                response = await self.session.post(
                    upstream.url + path, data=exchange.body, headers=headers, allow_redirects=False
                )
        except TimeoutError as error:
            # aiohttp's connect time-out is a TimeoutError too; only that one proves nothing was started.
            if isinstance(error, aiohttp.ServerTimeoutError):
                raise _retry_later(upstream, upstream_errors.unreachable(upstream)) from error
            raise upstream_errors.too_slow(upstream, self.settings.first_event_timeout_s) from error
        except (aiohttp.ClientError, OSError) as error:
            raise _retry_later(upstream, upstream_errors.unreachable(upstream)) from error
        try:
            yield response
        finally:
            # close(), not release(): an unread answer must stop the engine, not drain in the background.
            if not response.content.is_eof():
                response.close()
            else:
                response.release()

    async def _refuse(self, exchange: Exchange, upstream: Upstream, response: aiohttp.ClientResponse) -> None:
        """An HTTP error from upstream. Raises Retry for what another worker may do better."""
        try:
            async with asyncio.timeout(self.settings.idle_timeout_s):
                body = await response.content.read(65536)
        except (aiohttp.ClientError, OSError, TimeoutError):
            body = b""
        error = upstream_errors.from_response(upstream, response.status, body, exchange.path)
        if (retry_after := response.headers.get("retry-after")) and error.status in (429, 503):
            error.headers["retry-after"] = retry_after
        if response.status in upstream_errors.RETRYABLE:
            raise Retry(error)
        raise error

    async def _whole(self, exchange: Exchange, upstream: Upstream, response: aiohttp.ClientResponse) -> None:
        """A plain answer: pass it on in one piece."""
        try:
            async with asyncio.timeout(self.settings.idle_timeout_s):
                body = await response.read()
        except TimeoutError as error:
            raise upstream_errors.too_slow(upstream, self.settings.idle_timeout_s) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Retry(upstream_errors.unreachable(upstream)) from error
        if b'"abort"' in body:
            payload = _json_object(body)
            if payload is not None and sse.is_aborted(payload):
                raise Retry(upstream_errors.broken_off(upstream))
        content_type = response.headers.get("content-type", "application/json").encode("latin-1")
        await exchange.start(
            response.status,
            [(b"content-type", content_type), (b"content-length", str(len(body)).encode())],
        )
        await exchange.write(body, more=False)

    async def _stream(
        self, exchange: Exchange, upstream: Upstream, response: aiohttp.ClientResponse, by: float
    ) -> None:
        cutter = sse.EventCutter()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(by) as deadline:
                async for chunk, _ in response.content.iter_chunks():
                    deadline.reschedule(loop.time() + self.settings.idle_timeout_s)
                    block = cutter.feed(chunk)
                    if not block:
                        continue
                    if not exchange.started:
                        await self._begin(exchange, upstream, block)
                    if sse.may_need_care(block):
                        if await self._pass_carefully(exchange, upstream, block):
                            return
                    else:
                        await exchange.write(block, more=True)
        except TimeoutError as error:
            limit = self.settings.idle_timeout_s if exchange.started else self.settings.first_event_timeout_s
            slow = upstream_errors.too_slow(upstream, limit)
            if not exchange.started:
                raise slow from error
            await _fail(exchange, slow)
            return
        except (aiohttp.ClientError, OSError) as error:
            logger.warning("%s upstream %s: %s", exchange.request_id, upstream.id, type(error).__name__)
        # The upstream ended, or its connection broke, without [DONE].
        if not exchange.started:
            raise Retry(upstream_errors.unreachable(upstream))
        await _fail(exchange, upstream_errors.broken_off(upstream))

    async def _begin(self, exchange: Exchange, upstream: Upstream, block: bytes) -> None:
        """Look at the first event, while a status can still be chosen, then send the header."""
        for event in sse.split_events(block):
            payload = sse.event_json(event)
            if payload is None:
                continue  # a comment
            if payload.get("error"):
                error = upstream_errors.from_event(upstream, payload, exchange.path)
                raise Retry(error) if error.status >= 500 else error
            if sse.is_aborted(payload):
                raise Retry(upstream_errors.broken_off(upstream))
            break
        await exchange.start(
            200,
            [
                (b"content-type", b"text/event-stream; charset=utf-8"),
                (b"cache-control", b"no-cache"),
                (b"x-accel-buffering", b"no"),
            ],
        )

    async def _pass_carefully(self, exchange: Exchange, upstream: Upstream, block: bytes) -> bool:
        """Pass a block that may hold [DONE], an error or an abort. True when the stream is over."""
        for event in sse.split_events(block):
            if sse.is_done(event):
                await exchange.write(event, more=False)
                return True
            payload = sse.event_json(event)
            if payload is not None and payload.get("error"):
                await _fail(exchange, upstream_errors.from_event(upstream, payload, exchange.path))
                return True
            if payload is not None and sse.is_aborted(payload):
                await _fail(exchange, upstream_errors.broken_off(upstream))
                return True
            await exchange.write(event, more=True)
        return False


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _retry_later(upstream: Upstream, error: ApiError) -> Retry:
    upstream.cooldown_until = time.monotonic() + COOLDOWN_S
    return Retry(error)


async def _fail(exchange: Exchange, error: ApiError) -> None:
    """End a stream that has begun with the error frame; before that, let the caller answer a status."""
    if not exchange.started:
        raise error
    logger.warning("%s stream failed: %s", exchange.request_id, error.message)
    await exchange.write(sse.error_frames(error), more=False)


def _json_object(body: bytes) -> dict[str, object] | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
