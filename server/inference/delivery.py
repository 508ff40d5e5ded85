"""What the client has of an answer, and how the attempt that brings it ends.

Until the first whole event of a stream, or the whole body of a plain answer, nothing is written, so that
another upstream can still be asked or a true status be given. After that a failure is an error frame and the
stream's proper end, never a silent one.
"""

import asyncio
import time
from collections.abc import Sequence
from enum import Enum, auto

import msgspec

from common.errors import ApiError, Overloaded
from server.client.protocol import Phase
from server.inference import dialects, sse, upstream_errors
from server.inference.failed_response import ResponseSeen
from server.inference.job import STREAM_HEADERS, Attempt
from server.inference.outcome import ANSWERED, CutOff, Interrupted, Outcome, Refused, Unanswered

LARGE_BYTES = 1024 * 1024
"""What is larger is not looked through: that would hold up everybody else's tokens."""
END_BYTES = 64 * 1024
"""How much of a large answer's two ends is looked at."""


class Stage(Enum):
    """How far the client's answer has come."""

    WAITING = auto()
    """It has nothing: another upstream may be asked."""
    CONTINUING = auto()
    """It has the beginning of a stream from another worker, and nothing from this one."""
    BEGUN = auto()
    """It has something from this upstream."""
    OVER = auto()
    """This attempt has ended."""


WAITING, CONTINUING, BEGUN, OVER = Stage


class AnswerHead(msgspec.Struct, frozen=True):
    """Status and headers of an upstream's answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    """Names in lower case."""
    until_close: bool
    """The answer's end is that of the connection: a broken one looks like a whole one."""
    content_type: bytes = b""
    encoding: bytes = b""
    """A content coding, which was not asked for."""

    @classmethod
    def of(cls, status: int, headers: list[tuple[bytes, bytes]], until_close: bool) -> "AnswerHead":
        """Reads the headers that matter."""
        given = dict(headers)
        encoding = b""
        if b"content-encoding" in given:
            codings = [value for name, value in headers if name == b"content-encoding"]
            encoding = next((coding for coding in codings if coding.lower() != b"identity"), b"")
        return cls(status, headers, until_close, given.get(b"content-type", b""), encoding)


class Delivery:
    """One attempt's hand to the client. `done` gets the outcome."""

    __slots__ = (
        "_response",
        "_sent_at",
        "attempt",
        "client",
        "done",
        "first_event_at",
        "head",
        "stage",
        "upstream_s",
    )

    def __init__(self, attempt: Attempt, done: "asyncio.Future[Outcome]", sent_at: float) -> None:
        """`sent_at` is when the upstream was asked, in monotonic seconds."""
        self.attempt = attempt
        self.client = attempt.job.client
        self.done = done
        self.stage = WAITING if attempt.resumption is None else CONTINUING
        self.head: AnswerHead | None = None
        """Of the upstream's answer, once it has come."""
        self.upstream_s = 0.0
        """Wait for the upstream until it answered or it was clear that it would not."""
        self.first_event_at: float | None = None
        self._sent_at = sent_at
        self._response = ResponseSeen() if attempt.job.route.dialect == "responses" else None
        """What the client of a Responses stream has been sent."""

    @property
    def has_beginning(self) -> bool:
        """Whether the client has the beginning of an answer, of this upstream or of the one before."""
        return self.stage in (BEGUN, CONTINUING)

    # -- an answer ----------------------------------------------------------------------------------

    def whole(self, head: AnswerHead, parts: Sequence[bytes]) -> None:
        """A plain answer, its body in any number of parts."""
        self._begin()
        lines = b"content-type: %b\r\n%b" % (head.content_type or b"application/json", self._answer_lines())
        if head.encoding:
            lines += b"content-encoding: %b\r\n" % head.encoding
        self.client.answer(head.status, lines, *parts)
        self._over(ANSWERED)

    def write(self, block: bytes) -> None:
        """Whole events of a stream."""
        block = self._renamed(block)
        if self._response is not None:
            self._response.note(block)
        if self.stage is WAITING:
            self._begin()
            self.client.start(200, STREAM_HEADERS + self._answer_lines(), block)
            return
        self.stage = BEGUN
        self.client.write(block)

    def end(self, block: bytes) -> None:
        """The last events of a stream."""
        if self.stage is BEGUN:
            self.client.end(self._renamed(block))
        else:
            self.write(block)
            self.client.end()
        self._over(ANSWERED)

    def _begin(self) -> None:
        self.stage = BEGUN
        self.first_event_at = time.monotonic()
        self.upstream_s = self.first_event_at - self._sent_at

    def _answer_lines(self) -> bytes:
        """Header lines of an answer that begins now: with the checkpoint that gives it, where that is known,
        what the gateway itself has cost, in ms, and a provider's own limits where the key has none here."""
        attempt = self.attempt
        job, checkpoint = attempt.job, attempt.outbound.checkpoint
        named = b"x-kodolly-checkpoint: %b\r\n" % checkpoint.encode() if checkpoint else b""
        own_ms = (time.monotonic() - job.began - attempt.waited_s - self.upstream_s) * 1e3
        lines = b"%b%bx-kodolly-overhead-ms: %.2f\r\n" % (job.headers, named, max(0.0, own_ms))
        if self.head is None or attempt.upstream.kind == "worker":
            return lines
        told = (pair for pair in self.head.headers if pair[0].startswith(b"x-ratelimit-"))
        return lines + b"".join([b"%b: %b\r\n" % pair for pair in told if pair[0] not in job.headers])

    def _renamed(self, block: bytes) -> bytes:
        """With the client's name for the model; of a very large event, only the ends are looked through."""
        rename = self.attempt.outbound.rename
        if rename is None or len(block) <= LARGE_BYTES:
            return sse.renamed(block, rename)
        ends = sse.renamed(block[:END_BYTES], rename), sse.renamed(block[-END_BYTES:], rename)
        return b"".join((ends[0], block[END_BYTES:-END_BYTES], ends[1]))

    # -- failures -----------------------------------------------------------------------------------

    def break_off(self) -> None:
        """The answer ended in its middle."""
        upstream = self.attempt.upstream
        if self.has_beginning:
            self.fail(upstream_errors.broken_off(upstream))
        else:
            self.give_up(Unanswered(upstream_errors.unreachable(upstream)))

    def fail(self, error: ApiError, before: bytes = b"", *, retry: bool = False) -> None:
        """End with an error, after the events `before` it; while the client has nothing it is the caller's to
        answer, who may ask another upstream if `retry`."""
        if not self.has_beginning and not sse.counted(before)[1]:
            self.give_up(Unanswered(error) if retry else Refused(error))
            return
        if before:
            self.write(before)
        history = self.attempt.history
        if history is not None and history.whole and error.status >= 500:
            self._over(Interrupted(error))
            return
        self.client.end(self._error_frames(error))
        self._over(CutOff(error))

    def give_up(self, outcome: Unanswered | Refused) -> None:
        """Nothing comes of this attempt. If a part of its answer is with the client, the error ends it."""
        if self.stage is BEGUN:
            self.fail(outcome.error)
            return
        if self.stage is WAITING:
            self.upstream_s = time.monotonic() - self._sent_at
        self._over(outcome)

    def abandon(self) -> None:
        """The attempt was cancelled. A client that is still there is told that the gateway stops."""
        self.stage = OVER
        if self.client.phase is Phase.ANSWERING and not self.client.gone:
            stopping = Overloaded("The gateway is being stopped.", code="gateway_stopping")
            self.client.end(self._error_frames(stopping))

    def _error_frames(self, error: ApiError) -> bytes:
        return dialects.error_frames(error, self.attempt.job.route.dialect, self._response)

    def _over(self, outcome: Outcome) -> None:
        self.stage = OVER
        self.done.set_result(outcome)
