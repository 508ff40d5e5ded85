"""One request at one upstream: its connection, its clock and its back-pressure.

The answer is read by one of three readers, chosen when its head comes: a refusal, a plain answer or a stream.
What the client gets of it goes through the attempt's `Delivery`. All methods run in the event loop's
reader and none of them blocks.
"""

import asyncio
import time
from typing import Protocol

from server.inference import upstream_errors
from server.inference.delivery import BEGUN, AnswerHead, Delivery
from server.inference.job import Attempt
from server.inference.outcome import Answered, AttemptReport, Outcome, Unanswered
from server.inference.plain_answer import PlainAnswer, RefusalReader
from server.inference.silence import Silence
from server.inference.stream_answer import StreamAnswer
from server.record import Usage
from server.upstreams.connection import Broken, Connection

LEFTOVER_S = 5.0
"""How long the bytes after a stream's last event may take before their connection is given up."""


class Reader(Protocol):
    """Takes the body of an answer."""

    def feed(self, data: bytes) -> None:
        """More of it."""

    def finish(self) -> bytes:
        """It has ended. What comes back was a plain answer in place of a stream, or the other way round."""

    def usage(self) -> Usage | None:
        """What the answer has cost so far; None if nothing has come."""


class Exchange:
    """Receiver of one upstream's answer (see `connection.Receiver`)."""

    __slots__ = (
        "_connection",
        "_reader",
        "_silence",
        "_stream",
        "attempt",
        "client",
        "delivery",
        "done",
        "is_stream",
    )

    def __init__(self, attempt: Attempt, connection: Connection, done: "asyncio.Future[Outcome]") -> None:
        """`done` gets the outcome."""
        self.attempt = attempt
        self.client = attempt.job.client
        self.done = done
        self._connection: Connection | None = connection
        """None once it is not ours any more: it may serve another request by then."""
        now = time.monotonic()
        self.delivery = Delivery(attempt, done, sent_at=now)
        self._silence = Silence(self.delivery, connection.alarm, sent_at=now)
        self._reader: Reader | None = None
        """None until the answer's head has come."""
        self._stream: StreamAnswer | None = None
        """The reader, if it reads a stream."""
        self.is_stream = False

    def send(self, head: bytes) -> None:
        """Send the request and start the clock."""
        assert self._connection is not None
        self._connection.request(head, self.attempt.outbound.body, self)
        self.attempt.upstream.askers.add(self)
        self._silence.watch()

    def upstream_lost(self) -> None:
        """The worker is believed dead: move if nothing has come yet, else be patient for a moment only."""
        if self.done.done():
            return
        if self.delivery.stage is BEGUN:
            self._silence.lose_patience()
        else:
            self.delivery.give_up(Unanswered(upstream_errors.unreachable(self.attempt.upstream)))

    def close(self) -> None:
        """For the caller's `finally`: stop an answer that nobody waits for any more."""
        self.client.on_writable = None
        self.attempt.upstream.askers.discard(self)
        if self.done.cancelled():
            self.delivery.abandon()
        if self._connection is None:
            return
        if self.done.done() and not self.done.cancelled() and isinstance(self.done.result(), Answered):
            # The client has everything; only the closing bytes of the framing are missing.
            self._connection.resume()
            asyncio.get_running_loop().call_later(LEFTOVER_S, self._let_go)
        else:
            self._let_go()

    def _let_go(self) -> None:
        """Whatever still comes is not wanted."""
        if self._connection is not None:
            self._connection.abandon()
            self._connection = None

    def report(self, outcome: Outcome) -> AttemptReport:
        """What the attempt was, now that it is over."""
        delivery = self.delivery
        return AttemptReport(outcome, delivery.upstream_s, delivery.first_event_at, self.usage())

    def usage(self) -> Usage | None:
        """Tokens as the engine counted them; an estimate of what it did not count; None if none arose."""
        usage = self._reader.usage() if self._reader is not None else None
        if (
            usage is not None
            or self.delivery.first_event_at is not None
            or self.attempt.resumption is not None
        ):
            return usage
        job, head = self.attempt.job, self.delivery.head
        refused = head is not None and head.status >= 300
        if self.client.gone and not refused and job.route.spends != "nothing":
            # A client that left while its answer was being made has had its prompt read.
            return Usage(job.prompt_estimate, 0, estimated=True)
        return None

    # -- the answer ---------------------------------------------------------------------------------

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        assert self._connection is not None
        head = AnswerHead.of(status, headers, self._connection.until_close)
        self.delivery.head = head
        if status >= 300:
            self._reader = RefusalReader(self.delivery, head)
            return
        job, kind = self.attempt.job, head.content_type.lower()
        is_stream = kind.startswith(b"text/event-stream") or (
            # Some servers do not say that it is one, or say text/plain.
            job.stream and b"json" not in kind and not job.route.multipart
        )
        self._read_as(head, is_stream)
        if kind.startswith(b"text/html") or (is_stream and (head.encoding or not job.stream)):
            self.delivery.give_up(Unanswered(upstream_errors.not_an_engine(self.attempt.upstream)))

    def _read_as(self, head: AnswerHead, is_stream: bool) -> Reader:
        self.is_stream = is_stream
        self._stream = StreamAnswer(self.delivery, self._acknowledge_less) if is_stream else None
        reader = self._reader = self._stream or PlainAnswer(self.delivery, head)
        return reader

    def _acknowledge_less(self) -> None:
        if self._connection is not None:
            self._connection.acknowledge_less()

    def on_chunks(self, data: bytes) -> int:
        stream = self._stream
        if stream is None or (event := stream.token_event) is None or self.done.done():
            return 0
        chunk, count = event.relayed(data)
        if count:
            self._silence.heard_at = time.monotonic()
            counts = stream.counts  # no method for this: a call is a noticeable part of what a token costs
            counts.events += count
            counts.newest = data
            if not self.client.write_chunk(chunk):
                self._pause()
        return count

    def on_data(self, data: bytes) -> None:
        self._silence.heard_at = time.monotonic()
        if self.done.done() or self._reader is None:
            return
        delivery = self.delivery
        before = delivery.stage
        self._reader.feed(data)
        if delivery.stage is not BEGUN:
            return
        if before is not BEGUN:
            self._silence.watch()
        if not self.client.writable:
            self._pause()

    def on_end(self) -> None:
        self._connection = None
        head = self.delivery.head
        if self.done.done() or self._reader is None or head is None:
            return
        other = self._reader.finish()
        while other:
            reader = self._read_as(head, not self.is_stream)
            reader.feed(other)
            other = b"" if self.done.done() else reader.finish()

    def on_broken(self, error: Broken) -> None:
        self._connection = None
        if self.done.done():
            return
        if isinstance(self._reader, RefusalReader):
            self._reader.finish()
        elif self.delivery.has_beginning and not error.stale:
            self.delivery.break_off()
        else:
            unreachable = upstream_errors.unreachable(self.attempt.upstream)
            self.delivery.give_up(Unanswered(unreachable, stale=error.stale))

    # -- back-pressure ------------------------------------------------------------------------------

    def _pause(self) -> None:
        """A slow reader slows the engine's connection down; nothing piles up here."""
        if self._connection is not None:
            self._connection.pause()
            self.client.on_writable = self._go_on

    def _go_on(self) -> None:
        self.client.on_writable = None
        self._silence.heard_at = time.monotonic()
        if self._connection is not None:
            self._connection.resume()
