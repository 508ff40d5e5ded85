"""An answer that is checked sentence by sentence before the client gets it.

To an exchange it is the client's connection. It holds what comes until the moderation model has seen the
sentences in it; then it passes them on unchanged, or ends the answer as a filtered one.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec

from common.sentences import cut_sentences
from server.client.protocol import ClientConnection, Phase
from server.client.routes import Route
from server.inference import sse
from server.inference.filtered import filtered_answer, filtered_end
from server.inference.spoken_text import answered_texts, streamed_texts

MOST_WAITING_BYTES = 1024 * 1024
"""With so much unseen the engine is read no further."""
Look = Callable[[list[str]], Awaitable[bool]]
"""Whether texts must not go out. Raises ApiError."""


@dataclass(slots=True)
class _WatchedText:
    """The text of one part of the answer."""

    unseen: str = ""
    came: int = 0
    """Characters so far."""
    seen: int = 0
    """How many of them the model has seen."""


@dataclass(slots=True)
class ModeratedClient:
    """Has the face of a ClientConnection towards exchanges; `run` is the other side."""

    client: ClientConnection
    route: Route
    look: Look
    blocked: bool = False
    phase: Phase = Phase.WAITING
    chunked: bool = False
    """False: blocks of whole events come by `write`, which is all that can be looked at."""
    on_writable: Callable[[], None] | None = None
    _head: tuple[int, bytes] = (200, b"")
    _waiting: "deque[tuple[bytes, dict[str, int]]]" = field(default_factory=deque)
    """Events, and up to where each part must have been seen before one may go."""
    _waiting_bytes: int = 0
    _parts: dict[str, _WatchedText] = field(default_factory=dict)
    _events: list[dict[str, object]] = field(default_factory=list)
    """The first and the last event that came, as JSON."""
    _whole: tuple[int, bytes, bytes] | None = None
    _over: bool = False
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def began(self) -> bool:
        """Whether anything of an answer has come."""
        return self.phase in (Phase.ANSWERING, Phase.DONE)

    # -- what an exchange sees ----------------------------------------------------------------------

    @property
    def gone(self) -> bool:
        """Nobody takes more."""
        return self.blocked or self.client.gone

    @property
    def status(self) -> int:
        """As with the client."""
        return self.client.status

    @property
    def writable(self) -> bool:
        """False while too much waits here or at the client."""
        return self.client.writable and self._waiting_bytes < MOST_WAITING_BYTES

    def hold(self, headers: bytes, sign: bytes) -> None:
        """A sign of life goes at once."""
        self.client.hold(headers, sign)
        self.phase = Phase.HELD

    def answer(self, status: int, headers: bytes, *body: bytes) -> None:
        """A whole answer."""
        self.phase, self._whole = Phase.DONE, (status, headers, b"".join(body))
        self._news.set()

    def start(self, status: int, headers: bytes, first: bytes) -> None:
        """A stream begins."""
        self.phase, self._head = Phase.ANSWERING, (status, headers)
        self.write(first)

    def write(self, data: bytes) -> None:
        """More of the stream: whole events."""
        for event in sse.split_events(data):
            payload = sse.event_json(event)
            if payload is not None:
                self._events = [*self._events[:1], payload]
            for name, text in streamed_texts(payload, self.route):
                part = self._parts.setdefault(name, _WatchedText())
                part.unseen += text
                part.came += len(text)
            self._waiting.append((event, {name: part.came for name, part in self._parts.items()}))
            self._waiting_bytes += len(event)
        self._news.set()

    def end(self, data: bytes = b"") -> None:
        """The last events of the stream."""
        if data:
            self.write(data)
        self.phase, self._over = Phase.DONE, True
        self._news.set()

    # -- the other side -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Check and pass on until the client has the end. Raises ApiError when the moderation model
        cannot be asked."""
        while True:
            await self._news.wait()
            self._news.clear()
            if self._whole is not None:
                await self._pass_whole(*self._whole)
                return
            over = self._over
            ends = self._sentence_ends(over)
            texts = [self._parts[name].unseen[:length] for name, length in ends.items()]
            if texts and await self.look(texts):
                self._block()
                return
            for name, length in ends.items():
                part = self._parts[name]
                part.seen += length
                part.unseen = part.unseen[length:]
            self._release()
            if over:
                self.client.end()
                return

    def _sentence_ends(self, over: bool) -> dict[str, int]:
        """Of each part that has unseen sentences, their length together."""
        if over:
            return {name: len(part.unseen) for name, part in self._parts.items() if part.unseen}
        found = {
            name: sum(map(len, cut_sentences(p.unseen)[0])) for name, p in self._parts.items() if p.unseen
        }
        return {name: length for name, length in found.items() if length}

    def _release(self) -> None:
        free = []
        while self._waiting and all(self._parts[n].seen >= end for n, end in self._waiting[0][1].items()):
            free.append(self._waiting.popleft()[0])
        block = b"".join(free)
        self._waiting_bytes -= len(block)
        if block:
            self._send(block)
        if self.writable and (go_on := self.on_writable) is not None:
            go_on()
        elif self.on_writable is not None:
            self.client.on_writable = self._client_writable

    def _client_writable(self) -> None:
        self.client.on_writable = None
        if self.writable and (go_on := self.on_writable) is not None:
            go_on()

    def _send(self, block: bytes) -> None:
        if self.client.phase in (Phase.WAITING, Phase.HELD):
            self.client.start(*self._head, block)
        else:
            self.client.write(block)

    def _block(self) -> None:
        self.blocked = True
        self._send(filtered_end(self._events, self.route))
        self.client.end()

    async def _pass_whole(self, status: int, headers: bytes, body: bytes) -> None:
        try:
            answer = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError):
            answer = None
        if await self.look(answered_texts(answer)):
            self.blocked = True
            body = msgspec.json.encode(filtered_answer(answer, self.route))
        self.client.answer(status, headers, body)
