"""One HTTP/1.1 answer after the other out of a connection's bytes, parsed by llhttp (httptools)."""

from collections.abc import Callable
from typing import Any

import httptools

OnHead = Callable[[int, list[tuple[bytes, bytes]]], None]
"""Takes an answer's status and its headers, names in lower case."""


class AnswerParser:
    """Feed it what comes; `on_head` is told of the head, the body gathers in `body`."""

    __slots__ = ("_parser", "body", "complete", "headers", "keep", "on_head", "status", "until_close")

    def __init__(self) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        self.on_head: OnHead | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.status = 0
        """0 until the head is whole."""
        self.body: list[bytes] = []
        """Pieces that nobody has taken yet."""
        self.complete = False
        self.keep = False
        """Whether the connection may carry another exchange."""
        self.until_close = False
        """The body ends with the connection (RFC 9112, 6.3)."""

    def begin(self, on_head: OnHead) -> None:
        """What comes from now on answers another request. What nobody has read of the one before is gone."""
        self.on_head = on_head
        self.body.clear()
        self.headers = []
        self.status = 0
        self.complete = self.until_close = False

    def feed(self, data: bytes) -> bool:
        """Whether this was HTTP, and no more than one answer."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, ValueError):
            return False
        return True

    def close(self) -> None:
        """Let go of the parser, which holds our methods: a circle for the garbage collector."""
        self._parser = self.on_head = None

    # -- llhttp's call-backs ------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.complete:  # a second answer to one request: who knows to whom it belongs
            raise ValueError("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # an interim answer (RFC 9110, 15.2)
            self.headers = []
            return
        self.status = status
        self.keep = self._parser.should_keep_alive()
        given = dict(self.headers)
        self.until_close = b"content-length" not in given and b"transfer-encoding" not in given
        if self.on_head is not None:
            self.on_head(status, self.headers)

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        if self.status:
            self.complete = True
