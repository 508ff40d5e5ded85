"""HTTP/1.1 with what the relay needs below ASGI.

A relayed request gets a `ClientConnection` in `scope["extensions"]["kodolly.client"]`: it writes to the
socket without a coroutine per chunk, and tells when the client has gone or cannot take more. Everything
else is `common.http_protocol`'s and uvicorn's.
"""

import asyncio
import socket
from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import Any

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from common.http_protocol import BoundedProtocol
from server.client.chunks import framed, size_line
from server.client.request import EXTENSION
from server.client.routes import canonical_path, is_relayed

LAST_REQUEST_S = 0.5
"""How long a stopping gateway listens on idle connections for requests that are on their way."""
FIRST_REQUEST_S = 3.0
"""The same for a connection that has not brought any request yet: whoever opens one is about to send."""
UNSENT_BYTES = 128 * 1024
"""What the kernel may hold for a client that does not read. Without a limit it takes up to 4 MB of every
stream (tcp_wmem) before the engine is held back."""
LARGE_BODY_BYTES = 64 * 1024
"""A body from here on is not copied behind its header."""


class Phase(Enum):
    """How far one answer has come. It never goes back."""

    WAITING = "nothing was sent: any status is possible"
    HELD = "a status line and comments were sent, nothing of an answer"
    ANSWERING = "the beginning of an answer was sent"
    DONE = "the answer has ended"


class AnswerBegun(RuntimeError):
    """A second answer to one request, or part of one that has not begun, which no code may give. Nothing of
    it was sent; an answer that it would have come into has been cut with its connection."""


class _NoAnswer:
    """Stands for the transport before an answer's status line and after its end, where bytes would be in
    another answer."""

    def write(self, data: object) -> None:
        raise AnswerBegun("no answer is being sent")

    writelines = write


_NO_ANSWER = _NoAnswer()


class ClientConnection:
    """One relayed request's side of the client connection. It alone knows how far the answer has come."""

    __slots__ = (
        "_cycle",
        "_flow",
        "_protocol",
        "_transport",
        "chunked",
        "gone",
        "loop",
        "on_gone",
        "on_writable",
        "phase",
        "status",
    )

    def __init__(self, protocol: "GatewayProtocol", cycle: RequestResponseCycle) -> None:
        self._protocol = protocol
        self._cycle = cycle
        self._transport: Any = _NO_ANSWER
        self._flow = protocol.flow
        self.loop = protocol.loop
        """To ask asyncio for it takes a system call."""
        self.phase = Phase.WAITING
        self.status = 0
        """Of the answer that has begun; 0 before."""
        self.chunked = cycle.scope["http_version"] != "1.0"
        """Whether an answer of unknown length comes in chunks (RFC 9112, 7.1)."""
        self.gone = False
        """Whether nobody is there to answer."""
        self.on_gone: Callable[[], object] | None = None
        """Called once when the client closes the connection before it has its answer."""
        self.on_writable: Callable[[], None] | None = None
        """Called when a client that could not take more can again."""

    @property
    def writable(self) -> bool:
        """False while the client reads slower than we write."""
        return not self._flow.write_paused

    def whole_body(self) -> bytes | None:
        """The request's body if it has arrived in one piece with the header, else None."""
        cycle = self._cycle
        if cycle.more_body:
            return None
        body = bytes(cycle.body)
        cycle.body = bytearray()
        return body

    def answer(self, status: int, headers: bytes, *body: bytes) -> None:
        """A whole answer, its body in any number of parts. `headers` are lines that end with CRLF, without
        the framing. Raises AnswerBegun."""
        self._enter(Phase.ANSWERING, since=(Phase.WAITING,))
        self.status = status
        cycle = self._cycle
        if cycle.more_body:
            cycle.keep_alive = False  # the rest of the request would be taken for the next one
        close = b"" if cycle.keep_alive else b"connection: close\r\n"
        length = sum(map(len, body))
        if not self.gone:
            framing = b"" if status == 204 else b"content-length: %d\r\n" % length
            head = b"%b%b%b%b%b\r\n" % (STATUS_LINE[status], framing, headers, self._date(), close)
            if cycle.scope["method"] == "HEAD":
                self._transport.write(head)
            elif length < LARGE_BODY_BYTES:
                self._transport.write(b"".join((head, *body)))
            else:
                self._transport.writelines((head, *body))  # without a copy
        self._complete()

    def start(self, status: int, headers: bytes, first: bytes) -> None:
        """Begin an answer of unknown length with its first bytes. Raises AnswerBegun.

        Where the answer was held back by `hold`, its status and headers are with the client already.
        """
        if self.phase is Phase.HELD:
            self.phase = Phase.ANSWERING
            self.write(first)
            return
        self._enter(Phase.ANSWERING, since=(Phase.WAITING,))
        self._begin(status, headers, first)

    def hold(self, headers: bytes, sign: bytes) -> None:
        """Show that the request lives: status 200 if nothing was sent yet, and `sign`, a comment that is no
        part of an answer. Raises AnswerBegun when the answer has begun."""
        if self.phase is Phase.HELD:
            self.write(sign)
            return
        self._enter(Phase.HELD, since=(Phase.WAITING,))
        self._begin(200, headers, sign)

    def _enter(self, phase: Phase, since: tuple[Phase, ...]) -> None:
        """The one place where an answer may begin: no byte of a second one ever follows the first."""
        if self.phase not in since or self._cycle.response_started:
            self._protocol.transport.abort()
            raise AnswerBegun(f"{phase.name} after {self.phase.name}")
        self.phase = phase
        self._transport = self._cycle.transport
        self._cycle.response_started = True

    def _begin(self, status: int, headers: bytes, first: bytes) -> None:
        self.status = status
        cycle = self._cycle
        if not self.chunked:
            cycle.keep_alive = False
        framing = b"transfer-encoding: chunked\r\n" if self.chunked else b""
        close = b"" if cycle.keep_alive else b"connection: close\r\n"
        cycle.waiting_for_100_continue = False
        if not self.gone:
            head = b"%b%b%b%b%b\r\n" % (STATUS_LINE[status], framing, headers, self._date(), close)
            self._transport.write(head + self._framed(first))

    def write(self, data: bytes) -> None:
        """More of the answer; `data` is not empty."""
        if self.gone:
            return
        if len(data) >= LARGE_BODY_BYTES and self.chunked:
            self._transport.writelines((size_line(len(data)), data, b"\r\n"))
        else:
            self._transport.write(framed(data) if self.chunked else data)

    def write_chunk(self, chunk: bytes) -> bool:
        """More of an answer in chunks, framed already. False if the client cannot take more for now."""
        if not self.gone:
            self._transport.write(chunk)
        return not self._flow.write_paused

    def end(self, data: bytes = b"") -> None:
        """The last bytes of the answer. Raises AnswerBegun when there is none."""
        if self.phase in (Phase.WAITING, Phase.DONE):
            raise AnswerBegun("no answer is being sent")
        last = self._framed(data) if data else b""
        if self.chunked:
            last += b"0\r\n\r\n"
        if last and not self.gone:
            self._transport.write(last)
        self._complete()

    def _framed(self, data: bytes) -> bytes:
        return framed(data) if self.chunked else data

    def _date(self) -> bytes:
        return _lines(tuple(self._cycle.default_headers))

    def _complete(self) -> None:
        cycle = self._cycle
        self.phase = Phase.DONE
        self._transport = _NO_ANSWER
        self.on_gone = self.on_writable = None
        self._protocol.clients.remove(self)
        cycle.response_complete = True
        cycle.message_event.set()
        if cycle.more_body:
            # The rest of the body would be taken for the next request.
            cycle.keep_alive = False
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()


@lru_cache(maxsize=1)
def _lines(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """Of every answer: they are others when a second has gone by."""
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])


def take_client(scope: Scope) -> ClientConnection:
    """The request's side of its connection, taken out of the scope: else each would hold the other until the
    garbage collector comes, which stops the whole gateway while it looks."""
    client: ClientConnection = scope["extensions"].pop(EXTENSION)
    return client


_open: "set[GatewayProtocol]" = set()


def open_connections() -> int:
    """How many connections of clients this process holds."""
    return len(_open)


class GatewayProtocol(BoundedProtocol):
    """One client connection of the gateway."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.clients: list[ClientConnection] = []
        """Relayed requests without a whole answer, the oldest first: more than one when pipelined."""
        self._stopping = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        _open.add(self)
        if hasattr(socket, "TCP_NOTSENT_LOWAT") and (connection := transport.get_extra_info("socket")):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        _open.discard(self)
        super().connection_lost(exc)
        self.forget_requests()

    def forget_requests(self) -> None:
        super().forget_requests()
        clients, self.clients = self.clients, []
        for client in clients:
            client.gone = True
            if client.on_gone is not None:
                client.on_gone()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self._stopping:
            self.cycle.keep_alive = False
        self.scope["path"] = canonical_path(self.scope["path"])
        if is_relayed(self.scope["path"]):
            client = ClientConnection(self, self.cycle)
            self.clients.append(client)
            extensions: dict[str, Any] = {EXTENSION: client}
            self.scope["extensions"] = extensions

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.clients and (on_writable := self.clients[0].on_writable) is not None:
            on_writable()

    def shutdown(self) -> None:
        """The gateway stops. A request may be on its way on a connection that looks idle: it is still
        answered, and its answer closes the connection (RFC 9112, 9.6)."""
        self._stopping = True
        if self.cycle is None or self.cycle.response_complete:
            patience_s = FIRST_REQUEST_S if self.cycle is None else LAST_REQUEST_S
            self.loop.call_later(patience_s, self._close_if_idle)
        else:
            self.cycle.keep_alive = False

    def _close_if_idle(self) -> None:
        # A head that has begun is waited for: its own time-out ends it, or its answer does.
        if not self._in_head and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()
