"""Opening a connection to an upstream, through a proxy where there is one, and saying why it failed."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

from common.descriptors import one_is_left, shortage
from server.proxy import Proxy

HEAD_BYTES = 16 * 1024
"""Largest answer of a proxy to CONNECT that is read."""
PRIVATE_CA = "The CA of a company's proxy or server is named by SSL_CERT_FILE."


class Origin(NamedTuple):
    """Where to connect to, and how. Connections of equal origins are interchangeable."""

    host: str
    port: int
    tls: bool
    proxy: Proxy | None = None
    connect_timeout_s: float | None = None
    """None is the gateway's usual one."""


def origin_of(url: str, proxy: Proxy | None = None, connect_timeout_s: float | None = None) -> Origin:
    """Where an http(s) URL connects to."""
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    return Origin(parts.hostname or "", port, tls, proxy, connect_timeout_s)


class ConnectFailed(Exception):
    """No connection could be made: the request was certainly not sent. The message is for the log."""

    def __init__(self, detail: str, *, cause: str = "", hint: str = "", ours: bool = False) -> None:
        super().__init__(detail)
        self.cause = cause or detail
        """The same without addresses."""
        self.hint = hint
        """What can be done, if more than trying again."""
        self.ours = ours
        """The gateway lacked something: it tells nothing of the upstream."""


P = TypeVar("P", bound=asyncio.Protocol)


async def open_connection(
    origin: Origin, make: Callable[[], P], tls: Callable[[], ssl.SSLContext], limit_s: float
) -> P:
    """A protocol of `make` on a new connection, ready to send. Raises ConnectFailed, within `limit_s`."""
    try:
        async with asyncio.timeout(limit_s):
            return await _open(origin, make, tls)
    except (OSError, UnicodeError) as error:  # a TimeoutError is an OSError
        raise _failure(origin, error, limit_s) from error


async def _open(origin: Origin, make: Callable[[], P], tls: Callable[[], ssl.SSLContext]) -> P:
    loop, proxy = asyncio.get_running_loop(), origin.proxy
    if proxy is None:
        context = tls() if origin.tls else None
        _, protocol = await loop.create_connection(make, origin.host, origin.port, ssl=context)
        return protocol
    if proxy.problem:
        raise ConnectFailed(proxy.problem)
    context = tls() if proxy.tls else None
    if not origin.tls:  # the request line names the target
        _, protocol = await loop.create_connection(make, proxy.host, proxy.port, ssl=context)
        return protocol
    transport, asking = await loop.create_connection(_Tunnel, proxy.host, proxy.port, ssl=context)
    try:
        await asking.through(transport, origin, proxy)
        protocol = make()
        inner = await loop.start_tls(transport, protocol, tls(), server_hostname=origin.host)
    except BaseException:
        transport.abort()
        raise
    if inner is None:
        raise ConnectionError("the connection ended early")
    protocol.connection_made(inner)
    return protocol


class _Tunnel(asyncio.Protocol):
    """Asks a proxy for a way through (RFC 9110, 9.3.6)."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._received = b""

    async def through(self, transport: asyncio.Transport, origin: Origin, proxy: Proxy) -> None:
        """Returns when bytes go to the target. Raises ConnectFailed when the proxy refuses."""
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        target = f"{host}:{origin.port}".encode()
        head = b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n" % (target, target)
        transport.write(head + authorization_line(proxy) + b"\r\n")
        status_line = (await self._answer).split(b"\r\n", 1)[0].decode("latin-1")
        _, _, status = status_line.partition(" ")
        if not (status_line.startswith("HTTP/1.") and status[:1] == "2"):
            raise _refused_by_proxy(proxy, status)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._answer.done() and (b"\r\n\r\n" in self._received or len(self._received) > HEAD_BYTES):
            self._answer.set_result(self._received)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(ConnectionError("the proxy closed the connection"))


def authorization_line(proxy: Proxy) -> bytes:
    """The header line for a proxy that wants a password; b"" for one that wants none."""
    return b"proxy-authorization: %b\r\n" % proxy.authorization if proxy.authorization else b""


def _refused_by_proxy(proxy: Proxy, status: str) -> ConnectFailed:
    said = "".join(c for c in status[:80] if c.isprintable()) or "no HTTP"
    hint = "Put user and password into the proxy's URL." if status.startswith("407") else ""
    detail = f"the proxy {proxy!r} refuses to connect: {said}"
    return ConnectFailed(detail, cause=f"the proxy refuses to connect ({said})", hint=hint)


def _failure(origin: Origin, error: Exception, limit_s: float) -> ConnectFailed:
    at = f"{origin.host}:{origin.port}"
    what = "it"
    if origin.proxy is not None and not isinstance(error, ssl.SSLError):
        at, what = f"the proxy {origin.proxy!r}", "the proxy"
    if _lacks_descriptors(error):
        shortage.tell()
        why = "the gateway has no file descriptor left"
        return ConnectFailed(f"{at}: {why}", cause=why, ours=True)
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"the TLS certificate is not trusted: {error.verify_message}"
        return ConnectFailed(f"{at}: {why}", cause=why, hint=PRIVATE_CA)
    if isinstance(error, ssl.SSLError):
        why = f"TLS failed: {error.reason or 'no TLS is spoken there'}"
        return ConnectFailed(f"{at}: {why}", cause=why)
    if isinstance(error, socket.gaierror | UnicodeError):
        name = origin.proxy.host if origin.proxy is not None else origin.host
        whose = "its" if origin.proxy is None else "the proxy's"
        return ConnectFailed(f"the name {name!r} does not resolve", cause=f"{whose} name does not resolve")
    if isinstance(error, ConnectionRefusedError):
        return ConnectFailed(f"{at} refuses the connection", cause=f"{what} refuses the connection")
    if isinstance(error, TimeoutError):
        return ConnectFailed(
            f"no connection to {at} within {limit_s:g} s", cause=f"no connection within {limit_s:g} s"
        )
    why = cast(OSError, error).strerror or str(error) or type(error).__name__
    return ConnectFailed(f"{at}: {why}", cause=f"{what} cannot be connected to ({why})")


def _lacks_descriptors(error: Exception) -> bool:
    """Whether there was none for the connection, or for looking a name up, which then fails for no reason."""
    if isinstance(error, socket.gaierror):
        return not one_is_left()
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)
