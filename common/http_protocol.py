"""uvicorn's HTTP/1.1 protocol with limits below ASGI, the same for gateway, controller and web UI.

The parser has no limit of its own and joins the pieces of a line again with each read, so that one endless
header line would hold the event loop: bytes are counted here as they come in. A head that does not come in
time ends the connection (slow loris). An offer to upgrade is ignored (RFC 9110, 7.8). Trailers are dropped
(RFC 9110, 6.5.1): who asks may be judged by its headers alone, before the body is read. A client that is
refused while it still sends gets to read why.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Any, cast

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from common.descriptors import shortage
from common.errors import ApiError, BadRequest, HeadersTooLarge, error_bytes

HEAD_TIMEOUT_S = 15.0
"""Longest time for a request's head to arrive, and for a new connection to say something."""
HEAD_BYTES = 64 * 1024
"""Most bytes of a request line with its headers, of trailers, and of framing between two pieces of a body."""
HEAD_LINES = 200
"""Most header lines, and most trailers."""
FEED_BYTES = 16 * 1024
"""How much the parser gets at once; where a limit is passed, it is noticed after so many bytes more."""
LINGER_S = 5.0
"""How long a client that was answered before it has sent everything is listened to, so that it can read the
answer: a connection closed with bytes unread is reset, and an answer on its way is lost with it."""
LINGER_BYTES = 64 * 1024 * 1024
"""How much it may send meanwhile. Nothing of it is kept."""
_FRAMING = (b"content-length", b"transfer-encoding")


class _ClientTransport:
    """The transport of a client, but for `close`, which is the protocol's.

    Without `__getattr__`, which would make each look at any attribute, `write` too, several times as dear.
    """

    __slots__ = ("_transport", "close", "close_now", "lingers", "write", "writelines")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self._transport = transport
        self.write, self.writelines = transport.write, transport.writelines
        self.close, self.close_now = close, transport.close
        self.lingers = False

    def is_closing(self) -> bool:
        """Whether nothing more may be written."""
        return self.lingers or self._transport.is_closing()

    def ends(self) -> bool:
        """Whether nothing more may be read either."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str) -> Any:
        """What the transport knows of its connection."""
        return self._transport.get_extra_info(name)

    def pause_reading(self) -> None:
        """Read nothing more for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self._transport.resume_reading()

    def write_eof(self) -> None:
        """Nothing more will be written."""
        self._transport.write_eof()

    def abort(self) -> None:
        """End the connection at once."""
        self._transport.abort()


class BoundedProtocol(HttpToolsProtocol):
    """One client connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._in_head = self._in_body = self._body_came = False
        self._unbounded = 0
        """Bytes of this head, or since the last piece of this body, that earlier feeds have brought."""
        self._deaf = False
        """What the client sends is not looked at any more."""
        self._linger_timer: asyncio.TimerHandle | None = None
        self._lingered = 0
        """Bytes that came after the answer."""
        self._idle_since = 0.0
        """Time of the loop when the last answer ended."""
        self._waiting: list[bytes] = []
        """What has been read and not been fed to the parser, which gets a piece in each turn of the loop. An
        empty deque takes ten times the memory."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._client = _ClientTransport(transport, self._close)
        super().connection_made(cast(asyncio.Transport, self._client))
        if connection := transport.get_extra_info("socket"):
            shortage.saw(connection.fileno())
        self._reading = self.flow = _Flow(self._client)
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        self._waiting.clear()
        for timer in (self._linger_timer, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()
        self._client.close = self._client.close_now  # else this object and its transport hold each other
        super().connection_lost(exc)
        if self.cycle is not None:
            self.cycle.body = bytearray()  # the cycle and this object hold each other until a collection

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        if len(data) <= FEED_BYTES and self._linger_timer is None and not self._waiting:
            self._feed(data)
            if self._in_head:
                self._time_head()
            return
        if self._linger_timer is not None:
            self._lingered += len(data)
            if self._lingered > LINGER_BYTES:
                self._client.abort()
        elif self._waiting:  # it was on its way when reading was stopped
            self._waiting.append(data)
        else:
            _feed_in_turns(self, data)
        self._time_head()

    def _time_head(self) -> None:
        if self._in_head and self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._too_slow)

    def _feed(self, data: bytes) -> None:
        if self._deaf:
            return
        self._body_came = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._ignore_upgrade(data[offer.args[0] :])
            return
        except httptools.HttpParserError:
            self.send_400_response("")
            return
        if self._in_head or self._in_body:
            self._unbounded = 0 if self._body_came else self._unbounded + len(data)
            if self._unbounded > HEAD_BYTES + FEED_BYTES or len(self.headers) > HEAD_LINES:
                self.refuse(_too_large())
        else:
            self._unbounded = 0

    # -- the parser's call-backs ----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        if self._head_timer is not None:
            self._head_arrived()
        if (self._unbounded > FEED_BYTES and _head_size(self) > HEAD_BYTES) or len(self.headers) > HEAD_LINES:
            self.refuse(_too_large())
        if self._deaf:
            raise _Deaf  # the parser must not go on
        self._in_head, self._in_body, self._unbounded = False, True, 0
        if self.url[:1] != b"/":
            _take_host_of_target(self.url, self.headers, self.parser.get_http_version())
        super().on_headers_complete()
        self.headers = []  # what comes from now on is trailers, and must not join the request's headers

    def on_body(self, body: bytes) -> None:
        self._body_came = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade() and self.scope["method"] != "CONNECT":
            return  # the parser thinks that another protocol begins here; see `_ignore_upgrade`
        self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """uvicorn's, but for the timer of the idle connection: setting one for each answer, and taking it
        back with the next request, costs some microseconds. Ours stays, and looks when it is due."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self._idle_since = self.loop.time()
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self.timeout_keep_alive_task is None:
            self._look_later(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self._in_head or self._waiting or not self.cycle.response_complete:
            return  # the end of the next answer sets it again
        idle_s = self.loop.time() - self._idle_since
        if idle_s < self.timeout_keep_alive:
            self._look_later(self.timeout_keep_alive - idle_s)
        else:
            super().timeout_keep_alive_handler()

    def _look_later(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Go on with the request's body, and `rest` as its first bytes: httptools can't be told to. A new
        parser learns from a head of ours how the body is framed."""
        if self.scope["method"] == "CONNECT":
            self.cycle.keep_alive = False
            return
        self.parser = httptools.HttpRequestParser(_AfterOffer(self))
        framing = [b"%b: %b\r\n" % pair for pair in self.scope["headers"] if pair[0] in _FRAMING]
        self.parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing))
        if rest:
            self._feed(rest)

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP gets the error object too; uvicorn's own `msg` is not shown."""
        self.refuse(BadRequest("The request is not valid HTTP.", code="invalid_http"))

    def refuse(self, error: ApiError) -> None:
        """Answer what is no request that could be passed on, and close. An earlier request on the same
        connection still gets its answer, and nothing else is written into that."""
        if self._deaf or self.transport.is_closing():
            return
        self._deaf = True
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not self._in_body:
                cycle.keep_alive = False  # the newest of those before: it closes the connection
                return
            if cycle.response_started or self.pipeline:
                self.transport.close()
                return
            self.forget_requests()
        body = error_bytes(error)
        head = b"%bcontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(head % (STATUS_LINE[error.status], len(body)) + body)
        self.transport.close()

    def _close(self) -> None:
        """End the connection in stages where the client still sends (RFC 9112, 9.6): it is told that nothing
        more comes, and what it sends is thrown away until it has done the same, or for LINGER_S. A second
        call does not wait any longer."""
        if self._linger_timer is not None or not (self._deaf or self._in_body):
            self._client.close_now()
            return
        self._deaf = self._client.lingers = True
        self._linger_timer = self.loop.call_later(LINGER_S, self._client.close_now)
        self.flow.resume_reading()
        self._client.write_eof()

    def forget_requests(self) -> None:
        """Tell whoever works on an answer for this connection that nobody will take it."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self._client.close_now()


def _feed_in_turns(protocol: BoundedProtocol, data: bytes) -> None:
    """Feed one piece, and the others after the rest of the loop has had its turn: each may hold very many
    requests or chunks. Nothing is read meanwhile."""
    pieces = memoryview(data)
    protocol._waiting.extend(bytes(pieces[at : at + FEED_BYTES]) for at in range(0, len(data), FEED_BYTES))
    protocol._reading.hold()
    _feed_next(protocol)


def _feed_next(protocol: BoundedProtocol) -> None:
    if protocol._deaf or protocol.transport.is_closing():
        protocol._waiting.clear()
    if protocol._waiting:
        protocol._feed(protocol._waiting.pop(0))
        protocol._time_head()
    if protocol._waiting:
        protocol.loop.call_soon(_feed_next, protocol)
    else:
        protocol._reading.let_go()


class _Flow(FlowControl):
    """Reads nothing while pieces of what was read wait, whatever the application asks for."""

    def __init__(self, transport: _ClientTransport) -> None:
        super().__init__(cast(asyncio.Transport, transport))
        self._reader = transport
        self._held = False

    def hold(self) -> None:
        self._held = True
        if not self._reader.ends():
            self._reader.pause_reading()

    def let_go(self) -> None:
        self._held = False
        if not self.read_paused and not self._reader.ends():
            self._reader.resume_reading()

    def resume_reading(self) -> None:
        if self._held:
            self.read_paused = False
        elif self.read_paused:
            super().resume_reading()


def _head_size(protocol: BoundedProtocol) -> int:
    return len(protocol.url) + sum(len(name) + len(value) + 4 for name, value in protocol.headers)


def _take_host_of_target(target: bytes, headers: list[tuple[bytes, bytes]], version: str) -> None:
    """Of a target with a host in it (GET http://HOST/path), that one counts, and the Host header is ignored
    (RFC 9112, 3.2.2): a server before this one that does so may have judged by it. In place."""
    _, found, rest = target.partition(b"://")
    hosts = sum(name == b"host" for name, _ in headers)
    if found and (hosts == 1 or (hosts == 0 and version == "1.0")):
        authority = re.split(rb"[/?#]", rest, maxsplit=1)[0]
        headers[:] = [*(pair for pair in headers if pair[0] != b"host"), (b"host", authority)]


class _Deaf(Exception):
    """Ends the parser's work within a call-back."""


class _AfterOffer:
    """Call-backs of a parser that first gets a head of ours, which is not told on."""

    def __init__(self, protocol: BoundedProtocol) -> None:
        self._protocol = protocol
        self._own_head = True
        self.on_body, self.on_message_complete = protocol.on_body, protocol.on_message_complete

    def on_message_begin(self) -> None:
        if not self._own_head:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._own_head:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._own_head:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._own_head:
            self._own_head = False
        else:
            self._protocol.on_headers_complete()


def _too_large() -> HeadersTooLarge:
    return HeadersTooLarge(
        f"The request's headers are too large; at most {HEAD_LINES} lines and {HEAD_BYTES} bytes are taken."
    )
