"""What the relay answers by itself: errors, and what a browser asks before its request."""

from dataclasses import dataclass

from common.cors import CrossOrigin, header_lines
from common.errors import ApiError, error_bytes
from server.client import request
from server.client.protocol import Phase
from server.client.routes import ROUTES
from server.inference import dialects
from server.inference.admission import Incoming


@dataclass(frozen=True, slots=True)
class Replies:
    """Shared by all requests."""

    cross_origin: CrossOrigin
    cors: bool
    """Some pages from elsewhere may read answers."""

    def lines(self, incoming: Incoming) -> bytes:
        """Header lines of every answer to this request."""
        if not self.cors:
            return incoming.id_line
        origin = (request.header(incoming.scope, b"origin") or "").encode("latin-1")
        return incoming.id_line + header_lines(self.cross_origin.answer_headers(origin))

    def refuse(self, incoming: Incoming, error: ApiError) -> None:
        """Answer with the dialect's error object, or end a stream with it when its status is out."""
        client, dialect = incoming.client, incoming.route.dialect
        if client.phase is Phase.DONE or client.gone:
            return
        if client.phase is not Phase.WAITING:
            client.end(dialects.error_frames(error, dialect))
            return
        lines = b"content-type: application/json\r\n"
        for name, value in error.headers.items():
            lines += b"%b: %b\r\n" % (name.encode(), value.encode("latin-1"))
        body = dialects.anthropic_error_bytes(error) if dialect == "anthropic" else error_bytes(error)
        client.answer(error.status, lines + self.lines(incoming), body)

    def preflight(self, incoming: Incoming) -> None:
        """A browser asks what it may do. It sends no key with that."""
        scope = incoming.scope
        origin = (request.header(scope, b"origin") or "").encode("latin-1")
        asked = (request.header(scope, b"access-control-request-headers") or "").encode("latin-1")
        method = b"POST" if scope["path"] in ROUTES or scope["path"].endswith("/cancel") else b"GET"
        lines = header_lines(self.cross_origin.preflight_headers(origin, asked, method))
        incoming.client.answer(204, lines, b"")
