"""One request at one upstream: takes the answer as it comes and writes it to the client.

Until the first whole event of a stream, or the whole body of a plain answer, nothing is written, so that the
caller can still ask another upstream or answer with a true status. After that a failure is an error frame
and the stream's proper end, never a silent one. All methods run in the event loop's reader: one read from
the engine is one write to the client, without a task switch between.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, field

from common.errors import ApiError, Overloaded
from server.client.large_body import is_json
from server.client.protocol import Phase
from server.inference import dialects, sse, token_event, upstream_errors
from server.inference.failed_response import ResponseSeen
from server.inference.job import STREAM_HEADERS, Attempt, Job, Outbound
from server.inference.outcome import (
    ANSWERED,
    Answered,
    CutOff,
    Interrupted,
    Outcome,
    Refused,
    Report,
    Unanswered,
)
from server.inference.unstreamed import events_of
from server.inference.usage import (
    NO_COUNTS,
    UNTIL_COUNTED,
    Counts,
    counts_in,
    estimated_answer_tokens,
    usage_at_the_ends,
)
from server.record import Usage
from server.upstreams.connection import Broken, Connection
from server.upstreams.upstream import Upstream

logger = logging.getLogger(__name__)

REFUSAL_BYTES = 1024 * 1024
"""How much of an upstream's error body is read."""
HELD_BYTES = 4096
"""How much of the comments before the first event is kept for the client."""
LARGE_BYTES = 1024 * 1024
"""What is larger is not looked through: that would hold up everybody else's tokens."""
LARGE_READ_BYTES = 1 << 18
"""What the event loop reads at most at once."""
END_BYTES = 64 * 1024
"""How much of a large answer's two ends is looked at."""
LEARN_EVENTS = 32
"""Among the first so many events of a stream is one that brings text and nothing else."""
LOST_IDLE_S = 5.0
"""Longest silence of a stream whose worker has lost its lease."""
LEFTOVER_S = 5.0
"""How long the bytes after a stream's last event may take before their connection is given up."""


@dataclass(slots=True, eq=False)
class Exchange:
    """Receiver of one upstream's answer (see `upstream_http.Receiver`)."""

    attempt: Attempt
    connection: Connection
    done: "asyncio.Future[Outcome]"
    status: int = 0
    content_type: bytes = b""
    encoding: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    is_stream: bool = False
    began: bool = False
    """Something of this upstream's answer has gone to the client: no other may be asked in its place."""
    upstream_s: float = 0.0
    """Wait for the upstream until it answered or it was clear that it would not."""
    first_event_at: float | None = None
    events: int = 0
    """How many events with data have come: at most a token each."""
    last_data: float = 0.0
    _cutter: sse.EventCutter = field(default_factory=sse.EventCutter)
    _parts: list[bytes] = field(default_factory=list)
    _size: int = 0
    _held: bytes = b""
    """Comments before the first event."""
    _counted: bytes = b""
    """The newest block that held token counts."""
    _begun: bytes = b""
    """The block with the first event of a Messages stream, which counts the prompt."""
    _token_event: token_event.TokenEvent | None = None
    """How further events look that need no look at what they say."""
    _sent: float = 0.0
    _timer: asyncio.TimerHandle | None = None
    _told_total: bool = False
    """The counts of the whole answer came in an event of their own, as OpenAI sends them."""
    _lost: bool = False
    """The worker is believed dead, though its stream has not broken."""
    _ended: bool = False
    """The connection is not ours any more."""
    _response: ResponseSeen | None = None
    """What the client of a Responses stream has been sent."""
    job: Job = field(init=False)
    upstream: Upstream = field(init=False)
    outbound: Outbound = field(init=False)

    def __post_init__(self) -> None:
        attempt = self.attempt
        self.job, self.upstream, self.outbound = attempt.job, attempt.upstream, attempt.outbound

    def send(self, head: bytes) -> None:
        """Send the request and start the clock."""
        if self.job.route.dialect == "responses":
            self._response = ResponseSeen()
        self._sent = self.last_data = time.monotonic()
        self.connection.request(head, self.outbound.body, self)
        self.upstream.askers.add(self)
        self._arm(self._limit_s())

    def upstream_lost(self) -> None:
        """The worker is believed dead: move if nothing has come yet, else be patient for a moment only."""
        if self.done.done():
            return
        if self.began:
            self._lost = True
            self._arm(LOST_IDLE_S)
        else:
            self._give_up(Unanswered(upstream_errors.unreachable(self.upstream)))

    def close(self) -> None:
        """The caller's `finally`: no timer is left, and an answer that nobody waits for is stopped."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.job.client.on_writable = None
        self.upstream.askers.discard(self)
        client = self.job.client
        if self.done.cancelled() and client.phase is Phase.ANSWERING and not client.gone:
            client.end(
                self._error_frames(Overloaded("The gateway is being stopped.", code="gateway_stopping"))
            )
        if self._ended:
            return
        if self.done.done() and not self.done.cancelled() and isinstance(self.done.result(), Answered):
            # The client has everything; only the closing bytes of the framing are missing.
            self.connection.resume()
            asyncio.get_running_loop().call_later(LEFTOVER_S, self._give_up_leftover)
        else:
            self._ended = True
            self.connection.abandon()

    def report(self, outcome: Outcome) -> Report:
        """What the attempt was, now that it is over."""
        return Report(outcome, self.upstream_s, self.first_event_at, self.usage())

    def usage(self) -> Usage | None:
        """Tokens as the engine counted them; an estimate of what it did not count; None if none arose."""
        route = self.job.route
        if self.is_stream:
            counts = self._counts_of_stream()
            if counts.prompt is not None and counts.completion is not None:
                return counts.usage(0, 0)
            if self.began or self.attempt.resumption is not None:
                return counts.usage(self.job.prompt_estimate, self.events)
        if not self.began:
            # Whoever left while the answer was made has had the prompt read.
            left = self.job.client.gone and self.status < 300 and route.spends != "nothing"
            return Usage(self.job.prompt_estimate, 0, estimated=True) if left else None
        if route.spends == "nothing":
            return None
        counts = counts_in(self._counted)
        answer = 0
        if route.spends == "answer" and not counts.completion:
            answer = self._answer_estimate()
            if answer:
                counts = Counts(counts.prompt, None, counts.cached)
        return counts.usage(self.job.prompt_estimate, answer)

    def _answer_estimate(self) -> int:
        """What a plain answer may hold; of a large one only the size is known."""
        if self._size > LARGE_BYTES:
            return int(self._size * UNTIL_COUNTED)
        return estimated_answer_tokens(self._counted)

    def _counts_of_stream(self) -> Counts:
        last = sse.counted_event(self._counted)
        if not last:
            return NO_COUNTS
        counts = counts_in(sse.event_data(last))
        if b'"message_start"' in last:
            return Counts(counts.prompt, None, counts.cached)  # nothing was written yet
        if self._begun:
            at = self._begun.find(b'"usage"')
            first = sse.split_events(sse.split_at(self._begun, at)[1])[0]
            begun = counts_in(sse.event_data(first))
            return Counts(counts.prompt or begun.prompt, counts.completion, counts.cached or begun.cached)
        # While they run, several choices are counted each for itself.
        if self.job.choices == 1 or sse.find_total(last) >= 0:
            return counts
        return Counts(counts.prompt, None, counts.cached)

    # -- the answer ---------------------------------------------------------------------------------

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status, self.headers = status, headers
        for name, value in headers:
            if name == b"content-type":
                self.content_type = value
            elif name == b"content-encoding" and value.lower() != b"identity":
                self.encoding = value  # not asked for
        if status >= 300:
            return
        kind = self.content_type.lower()
        asked = self.job.stream
        self.is_stream = kind.startswith(b"text/event-stream") or (
            # Some servers do not say that it is one, or say text/plain.
            asked and b"json" not in kind and not self.job.route.multipart
        )
        unusable = self.is_stream and (self.encoding or not asked)
        if kind.startswith(b"text/html") or unusable:
            self._give_up(Unanswered(upstream_errors.not_an_engine(self.upstream)))

    def on_chunks(self, data: bytes) -> int:
        event = self._token_event
        if event is None or self.done.done():
            return 0
        chunk, count = event.relayed(data)
        if count:
            self.last_data = time.monotonic()
            self.events += count
            self._counted = data
            if not self.job.client.write_chunk(chunk):
                self._pause()
        return count

    def on_data(self, data: bytes) -> None:
        self.last_data = time.monotonic()
        if self.done.done():
            return
        if self.is_stream:
            block = self._cutter.feed(data)
            if block:
                self._pass(block)
            elif self._cutter.size > sse.MAX_EVENT_BYTES:
                self._fail(
                    upstream_errors.endless(self.upstream, "an event", sse.MAX_EVENT_BYTES), retry=True
                )
            return
        self._size += len(data)
        if self._size <= (REFUSAL_BYTES if self.status >= 300 else self.attempt.limits.answer_bytes):
            self._parts.append(data)
        elif self.status < 300:
            error = upstream_errors.endless(self.upstream, "an answer", self.attempt.limits.answer_bytes)
            self._fail(error, retry=True)

    def on_end(self) -> None:
        self._ended = True
        if self.done.done():
            return
        if self.status >= 300:
            self._refuse(b"".join(self._parts))
        elif self.is_stream:
            large = self._cutter.size > sse.LARGE_EVENT_BYTES
            rest = b"" if large else self._cutter.pending.rstrip(b"\n")
            if dialects.is_last(rest, self.job.route.dialect):
                self._pass(rest + b"\n\n")  # an engine that saves the last empty line
            elif rest.startswith(b"{") and not self._has_answer():
                self._parts = [rest]
                self._whole()  # it did not say that it is JSON
            else:
                self._break_off()
        elif self._has_answer():
            self._break_off()
        else:
            self._whole()

    def on_broken(self, error: Broken) -> None:
        self._ended = True
        if self.done.done():
            return
        if self.status >= 300:
            self._refuse(b"".join(self._parts))
        elif self._has_answer() and not error.stale:
            self._break_off()
        else:
            self._give_up(Unanswered(upstream_errors.unreachable(self.upstream), stale=error.stale))

    # -- a plain answer -----------------------------------------------------------------------------

    def _refuse(self, body: bytes) -> None:
        """An HTTP error from upstream: another worker may do better where it is worth a try."""
        error = upstream_errors.from_response(
            self.upstream, self.status, body, self.job.route.path, self.headers
        )
        self._give_up(Unanswered(error) if self.status in upstream_errors.RETRYABLE else Refused(error))

    def _whole(self) -> None:
        if self._size > LARGE_BYTES:
            self._whole_large()
            return
        body = b"".join(self._parts)
        if self.connection.until_close and b"json" in self.content_type.lower() and not is_json(body):
            # Nothing but the closed connection said that this was all.
            self._give_up(Unanswered(upstream_errors.broken_off(self.upstream)))
            return
        if b'"error"' in body or b'"abort"' in body or dialects.NO_STOP_REASON.search(body):
            payload = sse.told(body)
            if dialects.is_error(payload):
                error = upstream_errors.from_event(self.upstream, payload, self.job.route.path)
                self._give_up(Unanswered(error) if error.status >= 500 else Refused(error))
                return
            if payload and dialects.is_aborted(payload):
                self._give_up(Unanswered(upstream_errors.broken_off(self.upstream)))
                return
        if self.job.stream and self.job.route.streams:
            self._stream_whole(body)
            return
        self._counted = body
        self._answer([sse.renamed(body, self.outbound.rename)])

    def _stream_whole(self, body: bytes) -> None:
        """The whole answer of an engine that was asked for a stream: clients that wait for events would take
        it for an empty one."""
        events = b"" if self.encoding else events_of(body, self.job.route.dialect)
        if not events:
            self._give_up(Unanswered(upstream_errors.not_an_engine(self.upstream)))
            return
        self.is_stream = True
        self._pass(events)

    def _whole_large(self) -> None:
        """An answer with very many embeddings or a picture. Its two ends tell what must be known: the bytes
        between them are neither searched nor copied."""
        parts, self._parts = gathered_ends(self._parts, END_BYTES), []
        if self.job.stream and self.job.route.streams:
            self._give_up(Unanswered(upstream_errors.not_an_engine(self.upstream)))
            return
        cut = self.connection.until_close and not parts[-1].rstrip().endswith(b"}")
        if cut or any(dialects.ABORTED.search(end) for end in (parts[0], parts[-1])):
            self._give_up(Unanswered(upstream_errors.broken_off(self.upstream)))
            return
        self._counted = usage_at_the_ends(parts[0], parts[-1])
        for at in (0, -1):
            parts[at] = sse.renamed(parts[at], self.outbound.rename)
        self._answer(parts)

    def _answer(self, parts: list[bytes]) -> None:
        self._answering()
        head = b"content-type: %b\r\n%b" % (self.content_type or b"application/json", self._answer_lines())
        head += self._rate_limits()
        if self.encoding:
            head += b"content-encoding: %b\r\n" % self.encoding
        self.job.client.answer(self.status, head, *parts)
        self.done.set_result(ANSWERED)

    def _rate_limits(self) -> bytes:
        """A provider's own limits, as far as the key has none here."""
        if self.upstream.kind == "worker":
            return b""
        ours = self.job.headers
        told = [pair for pair in self.headers if pair[0].startswith(b"x-ratelimit-") and pair[0] not in ours]
        return b"".join([b"%b: %b\r\n" % pair for pair in told])

    # -- a stream -----------------------------------------------------------------------------------

    def _pass(self, block: bytes) -> None:
        """Hand on whole events."""
        if len(block) > sse.LARGE_EVENT_BYTES:
            block = self._pass_large(block)
            if not block or self.done.done():
                return
        dialect = self.job.route.dialect
        if self.attempt.resumption is not None:
            block = self.attempt.resumption.rewrite(block)
        block, events = sse.counted(block)
        if not self.began:
            block = self._held + block
            if not events:
                self._hold(block)
                return
            self._held = b""
        elif not block:  # events without data
            return
        self.events += events
        if self._token_event is None and self.events <= LEARN_EVENTS:
            self._learn(block)
        if self.attempt.history is not None:
            self.attempt.history.keep(block)
        if b'"usage"' in block:
            if sse.has_counts(block):
                self._counted = block
                if dialect == "anthropic" and not self._begun and b'"message_start"' in block:
                    self._begun = block
            if self.outbound.cuts_total or self.outbound.cuts_counts:
                block = self._without_our_counts(block)
        at = dialects.first_to_care_for(block, dialect)
        if at >= 0:
            self._pass_carefully(block, at)
        elif block:
            self._write(block)

    def _pass_large(self, block: bytes) -> bytes:
        """Hand on the event that `block` begins with, looking at its two ends alone; the rest comes back.

        Only the first event of a block can be larger than a read: it has come in several.
        """
        end = block.find(b"\n\n", max(0, len(block) - LARGE_READ_BYTES)) + 2
        event, rest = block[:end], block[end:]
        payload = dialects.large_event_json(event, self.job.route.dialect)
        if payload is None or self.attempt.resumption is not None:
            self._fail(
                upstream_errors.endless(self.upstream, "an event with over 200,000 values and", LARGE_BYTES),
                retry=True,
            )
        elif dialects.is_error(payload):
            error = upstream_errors.from_event(self.upstream, payload, self.job.route.path)
            self._fail(error, retry=error.status >= 500)
        elif dialects.is_aborted(payload):
            self._fail(upstream_errors.broken_off(self.upstream), retry=True)
        else:
            self.events += 1
            self._counted = event
            if self.attempt.history is not None:
                self.attempt.history.give_up()
            if dialects.is_last_kind(payload.get("type"), self.job.route.dialect):
                self._end(event)
            else:
                self._write(event)
        return rest

    def _hold(self, block: bytes) -> None:
        """Comments while the request waits: the status is still open. Only the newest are kept, whole."""
        over = len(block) - HELD_BYTES
        self._held = block if over <= 0 else block[block.find(b"\n\n", over) + 2 :]

    def _learn(self, block: bytes) -> None:
        """See how the stream's events look, where nothing is done to them but taking our counts out."""
        job = self.job
        plain = (
            job.route.dialect == "openai" and self.attempt.history is None and self.attempt.resumption is None
        )
        if plain and self.outbound.cuts_counts and job.choices == 1 and job.client.chunked:
            self._token_event = token_event.token_event(sse.split_events(block)[-1], self.outbound.rename)
            if self._token_event is not None:
                self.connection.acknowledge_less()  # it is vLLM, whose server sends without waiting

    def _without_our_counts(self, block: bytes) -> bytes:
        """The block as it were, had the gateway not asked for counts."""
        if self.outbound.cuts_counts:
            last = sse.find_total(block)
            before, rest = sse.split_at(block, last) if last >= 0 else (block, b"")
            before = sse.without_usage(before)
        else:
            before, rest = sse.split_at(block, block.index(b'"usage"'))
        kept = [before]
        for event in sse.split_events(rest) if rest else ():
            payload = sse.event_json(event)
            if payload is None or payload.get("choices") != [] or not payload.get("usage"):
                kept.append(sse.without_usage(event) if self.outbound.cuts_counts else event)
            else:
                self.events -= 1
                self._told_total = True
                if not self.outbound.cuts_total:
                    kept.append(event)
        return b"".join(kept)

    def _owed_counts(self) -> bytes:
        """The event with the counts that the client asked for, when the engine has put them elsewhere and
        they were taken out there; else b""."""
        if self._told_total or not self.outbound.cuts_counts or self.outbound.cuts_total or not self._counted:
            return b""
        return sse.total_event(sse.counted_event(self._counted), self._counts_of_stream())

    def _pass_carefully(self, block: bytes, at: int) -> None:
        """Where `at` points and behind it may be the end, an error or an abort."""
        dialect = self.job.route.dialect
        start = 0
        while at >= 0:
            start = len(sse.split_at(block, at)[0])
            end = block.find(b"\n\n", at) + 2
            event = block[start:end]
            payload = sse.event_json(event)
            if payload is not None and dialects.is_error(payload):
                error = upstream_errors.from_event(self.upstream, payload, self.job.route.path)
                self._fail(error, block[:start], retry=error.status >= 500)
                return
            if payload is not None and dialects.is_aborted(payload):
                self._fail(upstream_errors.broken_off(self.upstream), block[:start], retry=True)
                return
            if dialects.is_last(event, dialect):
                self._end(block[:start] + self._owed_counts() + event)
                return
            at = dialects.next_to_care_for(block, end, dialect)
        self._write(block)

    def _write(self, block: bytes) -> None:
        job = self.job
        block = self._renamed(block)
        if self._response is not None:
            self._response.note(block)
        if self.began:
            job.client.write(block)
        else:
            self._answering()
            if self.attempt.resumption is not None:
                job.client.write(block)
            else:
                job.client.start(200, STREAM_HEADERS + self._answer_lines() + self._rate_limits(), block)
            self._arm(self._limit_s())
        if not job.client.writable:
            self._pause()

    def _pause(self) -> None:
        """A slow reader slows the engine's connection down; nothing piles up here."""
        if not self._ended:  # else it may serve another request by now
            self.connection.pause()
            self.job.client.on_writable = self._go_on

    def _go_on(self) -> None:
        self.job.client.on_writable = None
        self.last_data = time.monotonic()
        if not self._ended:
            self.connection.resume()

    def _end(self, block: bytes) -> None:
        if not self.began:
            self._write(block)
            self.job.client.end()
        else:
            self.job.client.end(self._renamed(block))
        self.done.set_result(ANSWERED)

    def _renamed(self, block: bytes) -> bytes:
        """With the client's name for the model; of a very large event, only the ends are looked through."""
        rename = self.outbound.rename
        if rename is None or len(block) <= LARGE_BYTES:
            return sse.renamed(block, rename)
        ends = sse.renamed(block[:END_BYTES], rename), sse.renamed(block[-END_BYTES:], rename)
        return b"".join((ends[0], block[END_BYTES:-END_BYTES], ends[1]))

    def _answering(self) -> None:
        self.began = True
        if self.attempt.resumption is None:
            self.first_event_at = time.monotonic()
            self.upstream_s = self.first_event_at - self._sent

    def _answer_lines(self) -> bytes:
        """Header lines of an answer that begins now: with the checkpoint that gives it, where that is known,
        and what the gateway itself has cost, in ms."""
        job, checkpoint = self.job, self.outbound.checkpoint
        named = b"x-kodolly-checkpoint: %b\r\n" % checkpoint.encode() if checkpoint else b""
        own_ms = (time.monotonic() - job.began - self.attempt.waited_s - self.upstream_s) * 1e3
        return b"%b%bx-kodolly-overhead-ms: %.2f\r\n" % (job.headers, named, max(0.0, own_ms))

    # -- failures -----------------------------------------------------------------------------------

    def _has_answer(self) -> bool:
        """Whether the client has the beginning of an answer, of this upstream or of the one before."""
        return self.began or self.attempt.resumption is not None

    def _error_frames(self, error: ApiError) -> bytes:
        return dialects.error_frames(error, self.job.route.dialect, self._response)

    def _break_off(self) -> None:
        """The stream ended without its last event."""
        if self._has_answer():
            self._fail(upstream_errors.broken_off(self.upstream))
        else:
            self._give_up(Unanswered(upstream_errors.unreachable(self.upstream)))

    def _fail(self, error: ApiError, begun: bytes = b"", *, retry: bool = False) -> None:
        """End with an error; before the first event it is the caller's to answer."""
        if not self._has_answer() and not sse.counted(begun)[1]:
            self._give_up(Unanswered(error) if retry else Refused(error))
            return
        if begun:
            self._write(begun)
        history = self.attempt.history
        if history is not None and history.whole and error.status >= 500:
            self.done.set_result(Interrupted(error))
            return
        self.job.client.end(self._error_frames(error))
        self.done.set_result(CutOff(error))

    def _give_up(self, outcome: Unanswered | Refused) -> None:
        """Nothing comes of this attempt. If a part of its answer is with the client, the error ends it."""
        if self.began:
            self._fail(outcome.error)
            return
        if self.attempt.resumption is None:
            self.upstream_s = time.monotonic() - self._sent
        self.done.set_result(outcome)

    # -- the clock ----------------------------------------------------------------------------------

    def _limit_s(self) -> float:
        """How long the silence may last now. A plain answer comes in one piece at its end."""
        limits = self.attempt.limits
        if not self.job.stream:
            return limits.total_s
        if self._lost:
            return min(LOST_IDLE_S, limits.idle_s)
        return limits.idle_s if self.began else limits.first_event_s

    def _arm(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(max(0.0, seconds), self._tick)

    def _tick(self) -> None:
        """Due at the earliest moment a limit can have passed; re-armed when data has come since."""
        self._timer = None
        if self.done.done():
            return
        now, limit = time.monotonic(), self._limit_s()
        if not self.job.client.writable:
            self.last_data = now  # the client is slow, not the engine
        since = self.last_data if self.began else self._sent
        due = min(since + limit, self.job.deadline)
        if now < due:
            self._arm(due - now)
            return
        if due == self.job.deadline:
            limit = self.attempt.limits.total_s
        self._fail(upstream_errors.too_slow(self.upstream, limit))

    def _give_up_leftover(self) -> None:
        if not self._ended:
            self._ended = True
            self.connection.abandon()


def gathered_ends(parts: list[bytes], size: int) -> list[bytes]:
    """The same bytes, with at least `size` of them, if there are so many, in the first and the last part."""
    left, right = 0, len(parts)
    first = last = 0
    while left < right and first < size:
        first += len(parts[left])
        left += 1
    while right > left and last < size:
        right -= 1
        last += len(parts[right])
    return [b"".join(parts[:left]), *parts[left:right], b"".join(parts[right:])]
