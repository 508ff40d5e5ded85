"""Running one ASGI app in this process, the same way for controller, gateway and web UI."""

import asyncio
import errno
import gc
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from common.descriptors import raise_limit
from common.errors import KodollyError, UserError

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

GC_THRESHOLD = 20_000
"""New objects between two collections; the default of 700 costs 4% of a busy gateway's time."""

KEEP_ALIVE_S = 75
"""Above what common proxies and our own clients keep idle connections for."""


def check_port(host: str, port: int, setting: str) -> None:
    """Raises UserError when `host`:`port` cannot be listened on; `setting` names what to change."""
    try:
        bound_socket(host, port).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(
                f"Port {port} on {host} is taken by another process.",
                hint=f"Stop that process or choose another port with {setting}.",
            ) from error
        reason = error.strerror or str(error)
        raise UserError(f"Cannot listen on {show_address(host, port)}: {reason}.") from error


def bound_socket(host: str, port: int, *, shared: bool = False, only_ipv6: bool = False) -> socket.socket:
    """A socket bound to `host`:`port`; `::` takes IPv4 connections, too, unless `only_ipv6` (RFC 3493, 5.3).

    `shared` is SO_REUSEPORT. Raises OSError.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_ipv6)
        made.bind((host, port))
    except BaseException:
        made.close()
        raise
    return made


def _sockets(host: str, port: int, listening: socket.socket | None) -> list[socket.socket] | None:
    """What to listen on; None leaves it to uvicorn, which would open `::` for IPv6 alone.

    With a socket for each family a client's IPv4 address stays one, as FORWARDED_ALLOW_IPS names it.
    """
    if listening is not None:
        return [listening]
    if host != "::":
        return None
    return [bound_socket("0.0.0.0", port), bound_socket("::", port, only_ipv6=True)]


def show_address(host: str, port: int) -> str:
    """`host`:`port` as it stands in a URL: an IPv6 address has brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class _Calls:
    """What a server tells its process."""

    on_stop: Callable[[], None]
    """In the signal handler."""
    on_ready: Callable[[], None]
    """Connections are taken."""


def serve(
    app: "ASGIApp",
    host: str,
    port: int,
    *,
    setting: str,
    grace_s: int = 10,
    protocol: type[asyncio.Protocol] | None = None,
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
    raise_limit()
    if listening is None:
        check_port(host, port, setting)
    failures: list[KodollyError] = []
    caught = _catching_start_up_failures(app, failures)
    config = _config(caught, host, port, grace_s, protocol, behind_proxy)
    server = _server(config, _Calls(on_stop, on_ready))
    try:
        server.run(_sockets(host, port, listening))
    except KeyboardInterrupt:
        return
    except SystemExit:  # uvicorn's way out of a failed start-up
        if not failures:
            raise
    if failures:
        raise failures[0]
    if not server.started:
        raise UserError("The server could not start; the log lines above say why.")


def _config(
    app: "ASGIApp",
    host: str,
    port: int,
    grace_s: int,
    protocol: type[asyncio.Protocol] | None,
    behind_proxy: bool,
) -> "uvicorn.Config":
    import uvicorn

    from common.http_protocol import BoundedProtocol

    return uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http=protocol or BoundedProtocol,
        ws="none",
        lifespan="on",
        interface="asgi3",  # not found out from a function that is not `async` itself
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=behind_proxy,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=grace_s,
    )


def _server(config: "uvicorn.Config", calls: _Calls) -> "uvicorn.Server":
    import uvicorn

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            calls.on_stop()
            super().handle_exit(sig, frame)

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                spare_collections()
                logger.info("listening on http://%s", show_address(config.host, config.port))
                calls.on_ready()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            for listener in self.servers:
                listener.close()
            # The loop tells protocols of accepted connections one turn late: with none under way, every
            # connection gets to know that the server stops.
            await asyncio.sleep(0)
            await super().shutdown(sockets)

    return Server(config)


def spare_collections() -> None:
    """Have collections pass over what exists now, as it lives as long as the process: in the web UI a whole
    one holds the loop for 0.2 s."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


def _catching_start_up_failures(app: "ASGIApp", failures: list[KodollyError]) -> "ASGIApp":
    """Keep a KodollyError of the lifespan for the caller; uvicorn would print its traceback."""

    def caught(scope: "Scope", receive: "Receive", send: "Send") -> Awaitable[None]:
        return in_lifespan(scope, receive, send) if scope["type"] == "lifespan" else app(scope, receive, send)

    async def in_lifespan(scope: "Scope", receive: "Receive", send: "Send") -> None:
        async def quiet_send(message: "Message") -> None:
            if message["type"] == "lifespan.startup.failed":
                failing.append(message)
            else:
                await send(message)

        failing: list[Message] = []
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
