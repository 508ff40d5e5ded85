"""Running one ASGI app in this process, the same way for controller, gateway and web UI."""

import errno
import logging
import socket
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from common.errors import KodollyError, UserError

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger(__name__)

KEEP_ALIVE_S = 75
"""Above what common proxies and our own clients keep idle connections for."""


def check_port(host: str, port: int, setting: str) -> None:
    """Raises UserError when `host`:`port` cannot be listened on; `setting` names what to change."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UserError(
                    f"Port {port} on {host} is taken by another process.",
                    hint=f"Stop that process or choose another port with {setting}.",
                ) from error
            raise UserError(f"Cannot listen on {host}:{port}: {error.strerror}.") from error


def serve(
    app: Any,
    host: str,
    port: int,
    *,
    setting: str,
    grace_s: int = 10,
    protocol: "type[asyncio.Protocol] | None" = None,
    on_stop: Callable[[], None] = lambda: None,
    on_ready: Callable[[], None] = lambda: None,
    listening: socket.socket | None = None,
    behind_proxy: bool = False,
) -> None:
    """Serve `app` until SIGINT or SIGTERM; open requests get `grace_s` seconds to end.

    `protocol` speaks HTTP with clients; None is `BoundedProtocol`. `on_stop` is called in the signal
    handler, for requests that would not end by themselves; `on_ready` when connections are taken.
    `listening` is a socket that a parent process has opened on this address. `behind_proxy` takes scheme and
    client from a local proxy's X-Forwarded headers: for pages that write their own address into links.
    Raises UserError when the port is taken or the app's start-up failed with one.
    """
    import uvicorn

    from common.http_protocol import BoundedProtocol

    if listening is None:
        check_port(host, port, setting)
    failures: list[KodollyError] = []
    config = uvicorn.Config(
        _catching_start_up_failures(app, failures),
        host=host,
        port=port,
        loop="uvloop",
        http=protocol or BoundedProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=behind_proxy,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=grace_s,
    )

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            on_stop()
            super().handle_exit(sig, frame)

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                on_ready()

    server = Server(config)
    logger.info("listening on http://%s:%d", host, port)
    try:
        server.run([listening] if listening is not None else None)
    except KeyboardInterrupt:
        return
    except SystemExit:  # uvicorn's way out of a failed start-up
        if not failures:
            raise
    if failures:
        raise failures[0]
    if not server.started:
        raise UserError("The server could not start; the log lines above say why.")


def _catching_start_up_failures(app: Any, failures: list[KodollyError]) -> Any:
    """Keep a KodollyError of the lifespan for the caller; uvicorn would print its traceback."""

    async def caught(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return

        async def quiet_send(message: Any) -> None:
            if message["type"] == "lifespan.startup.failed":
                failing.append(message)
            else:
                await send(message)

        failing: list[Any] = []
        try:
            await app(scope, receive, quiet_send)
        except KodollyError as error:
            failures.append(error)
            await send({"type": "lifespan.startup.failed", "message": ""})
        except BaseException:
            for message in failing:
                await send(message)
            raise

    return caught
