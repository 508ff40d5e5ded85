"""The gateway's ASGI app: inference paths go to the raw relay, all else to FastAPI."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException
from fastapi_offline import FastAPIOffline

from common.errors import ApiError, InternalError, MethodNotAllowed
from common.http import bearer_token, install_error_handlers, require_token
from server import api
from server.directory import Directory
from server.gateway import Gateway
from server.request import (
    RELAYED,
    ClientGone,
    Message,
    Receive,
    Scope,
    Send,
    header,
    request_id,
    send_error,
)
from server.settings import GatewaySettings, provider_keys

logger = logging.getLogger(__name__)

ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

POOL_IDLE_S = 30.0
"""Below the worker's keep-alive of 75 s, so that we close an idle connection before the engine does."""


def create_app(settings: GatewaySettings) -> ASGIApp:
    """The gateway. Nothing runs before the lifespan starts."""
    app = FastAPIOffline(
        title="kodolly gateway",
        description="OpenAI-compatible API in front of vLLM workers and external providers.",
        lifespan=_lifespan(settings),
    )
    install_error_handlers(app)
    app.include_router(api.public)
    app.include_router(api.router)

    async def gateway_app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
        elif scope["path"] in RELAYED:
            await _relay(app, scope, receive, send)
        else:
            limited = _limited(scope, receive, settings.max_body_bytes)
            await app(scope, limited, _with_request_id(scope, send))

    return gateway_app


def _lifespan(
    settings: GatewaySettings,
) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Imported when the app starts: together they cost more than all that `import server.app` needs.
        import aiohttp

        from server.follow import follow_controllers
        from server.relay import Relay
        from server.store import open_store

        directory = Directory(settings.providers(), provider_keys(settings))
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout_s)
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=POOL_IDLE_S)
        async with (
            open_store(settings.store_url()) as store,
            # auto_decompress=False: answers are passed on as they come; trust_env=False: no proxies.
            aiohttp.ClientSession(
                connector=connector,
                timeout=timeout,
                auto_decompress=False,
                trust_env=False,
                skip_auto_headers=("User-Agent", "Accept-Encoding"),
            ) as session,
        ):
            app.state.gateway = Gateway(
                directory=directory,
                session=session,
                store=store,
                relay=Relay(settings, directory, session),
                api_keys=tuple(key.get_secret_value() for key in settings.api_keys),
                started=time.monotonic(),
            )
            following = asyncio.create_task(follow_controllers(directory, settings))
            try:
                yield
            finally:
                following.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await following

    return lifespan


async def _relay(app: FastAPI, scope: Scope, receive: Receive, send: Send) -> None:
    """Run the relay; every failure before the first byte becomes an OpenAI error object."""
    gateway: Gateway = app.state.gateway
    rid = request_id(scope)
    try:
        if gateway.api_keys:
            require_token(bearer_token(header(scope, b"authorization")), gateway.api_keys)
        if scope["method"] != "POST":
            raise MethodNotAllowed(f"{scope['path']} takes POST, not {scope['method']}.")
        await gateway.relay(scope, receive, send, rid)
    except ClientGone:
        logger.debug("%s the client closed the connection", rid)
    except ApiError as error:
        await send_error(send, error, rid)
    except Exception:
        logger.exception("%s failed", rid)
        await send_error(send, InternalError("The gateway met an unexpected error."), rid)


def _limited(scope: Scope, receive: Receive, limit: int) -> Receive:
    """`receive` that refuses a body of more than `limit` bytes, announced or not."""
    too_large = HTTPException(413, f"The body is too large; at most {limit} bytes are taken.")
    announced = header(scope, b"content-length") or ""
    size = 0

    async def receive_limited() -> Message:
        nonlocal size
        if announced.isdigit() and int(announced) > limit:
            raise too_large
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise too_large
        return message

    return receive_limited


def _with_request_id(scope: Scope, send: Send) -> Send:
    rid = request_id(scope).encode()

    async def send_with_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", rid)]
        await send(message)

    return send_with_id
