"""Answers in one piece, and errors: held until they are whole."""

import codecs

from server.client.large_body import is_json
from server.inference import dialects, sse, upstream_errors
from server.inference.delivery import END_BYTES, LARGE_BYTES, AnswerHead, Delivery
from server.inference.outcome import Refused, Unanswered
from server.inference.unstreamed import events_of
from server.inference.usage import (
    UNTIL_COUNTED,
    TokenCounts,
    counts_in,
    estimated_answer_tokens,
    usage_at_the_ends,
)
from server.record import Usage

REFUSAL_BYTES = 1024 * 1024
"""How much of an upstream's error body is read."""


class RefusalReader:
    """Reads an HTTP error of the upstream."""

    __slots__ = ("_delivery", "_head", "_parts", "_size")

    def __init__(self, delivery: Delivery, head: AnswerHead) -> None:
        self._delivery = delivery
        self._head = head
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """More of the body; what is too much is left out."""
        self._size += len(data)
        if self._size <= REFUSAL_BYTES:
            self._parts.append(data)

    def finish(self) -> bytes:
        """The body has ended or broken off: the status has said enough."""
        attempt, head = self._delivery.attempt, self._head
        body = b"".join(self._parts)
        error = upstream_errors.from_response(
            attempt.upstream, head.status, body, attempt.job.route.path, head.headers
        )
        retry = head.status in upstream_errors.RETRYABLE
        self._delivery.give_up(Unanswered(error) if retry else Refused(error))
        return b""

    def usage(self) -> Usage | None:
        """An error costs nothing."""
        return None


class PlainAnswer:
    """Reads a body that goes to the client in one piece."""

    __slots__ = ("_counted", "_delivery", "_head", "_parts", "_size")

    def __init__(self, delivery: Delivery, head: AnswerHead) -> None:
        self._delivery = delivery
        self._head = head
        self._parts: list[bytes] = []
        self._size = 0
        self._counted = b""
        """Where token counts are looked for."""

    def feed(self, data: bytes) -> None:
        """More of the body."""
        attempt = self._delivery.attempt
        self._size += len(data)
        if self._size <= attempt.limits.answer_bytes:
            self._parts.append(data)
            return
        error = upstream_errors.endless(attempt.upstream, "an answer", attempt.limits.answer_bytes)
        self._delivery.fail(error, retry=True)

    def finish(self) -> bytes:
        """The body is whole. Returns its events where it should have been a stream."""
        delivery = self._delivery
        if delivery.has_beginning:
            delivery.break_off()
            return b""
        if self._size > LARGE_BYTES:
            self._finish_large()
            return b""
        body = b"".join(self._parts)
        if self._is_failure(body):
            return b""
        job = delivery.attempt.job
        if job.stream and job.route.streams:
            # Clients that wait for events would take it for an empty stream.
            events = b"" if self._head.encoding else events_of(body, job.route.dialect)
            if not events:
                delivery.give_up(Unanswered(upstream_errors.not_an_engine(delivery.attempt.upstream)))
            return events
        self._counted = body
        delivery.whole(self._head, [sse.renamed(body, delivery.attempt.outbound.rename)])
        return b""

    def _is_failure(self, body: bytes) -> bool:
        """Whether it is an error in spite of its status, or not whole; then that is told."""
        delivery, head = self._delivery, self._head
        upstream = delivery.attempt.upstream
        if head.until_close and b"json" in head.content_type.lower() and not is_json(body):
            # Nothing but the closed connection said that this was all.
            delivery.give_up(Unanswered(upstream_errors.broken_off(upstream)))
            return True
        if not head.encoding and not _is_whole(body, head.content_type):
            delivery.give_up(Unanswered(upstream_errors.not_an_engine(upstream)))
            return True
        if not (b'"error"' in body or b'"abort"' in body or self._never_stopped(body)):
            return False
        payload = sse.told(body)
        if dialects.is_error(payload):
            error = upstream_errors.from_event(upstream, payload, delivery.attempt.job.route.path)
            delivery.give_up(Unanswered(error) if error.status >= 500 else Refused(error))
            return True
        if payload and dialects.is_aborted(payload):
            delivery.give_up(Unanswered(upstream_errors.broken_off(upstream)))
            return True
        return False

    def _never_stopped(self, body: bytes) -> bool:
        is_message = self._delivery.attempt.job.route.dialect == "anthropic"
        return is_message and dialects.NO_STOP_REASON.search(body) is not None

    def _finish_large(self) -> None:
        """An answer with very many embeddings or a picture. Its two ends tell what must be known: the bytes
        between them are neither searched nor copied."""
        delivery = self._delivery
        attempt = delivery.attempt
        parts, self._parts = gathered_ends(self._parts, END_BYTES), []
        if attempt.job.stream and attempt.job.route.streams:
            delivery.give_up(Unanswered(upstream_errors.not_an_engine(attempt.upstream)))
            return
        cut = self._head.until_close and not parts[-1].rstrip().endswith(b"}")
        if cut or any(dialects.ABORTED.search(end) for end in (parts[0], parts[-1])):
            delivery.give_up(Unanswered(upstream_errors.broken_off(attempt.upstream)))
            return
        self._counted = usage_at_the_ends(parts[0], parts[-1])
        for at in (0, -1):
            parts[at] = sse.renamed(parts[at], attempt.outbound.rename)
        delivery.whole(self._head, parts)

    def usage(self) -> Usage | None:
        """As the engine counted, with an estimate of what it did not count; None if none was answered."""
        job = self._delivery.attempt.job
        if self._delivery.first_event_at is None or job.route.spends == "nothing":
            return None
        counts = counts_in(self._counted)
        answer = 0
        if job.route.spends == "answer" and not counts.completion:
            answer = self._estimate()
            if answer:
                counts = TokenCounts(counts.prompt, None, counts.cached)
        return counts.usage(job.prompt_estimate, answer)

    def _estimate(self) -> int:
        """What the answer may hold; of a large one only the size is known."""
        if self._size > LARGE_BYTES:
            return int(self._size * UNTIL_COUNTED)
        return estimated_answer_tokens(self._counted)


def _is_whole(body: bytes, content_type: bytes) -> bool:
    """Whether there is an answer, and, where it should be JSON, its beginning and its end."""
    text = body.strip()
    if not text or b"json" not in content_type.lower():
        return bool(text)
    ends = text.removeprefix(codecs.BOM_UTF8)[:1] + text[-1:]
    return ends in (b"{}", b"[]") or is_json(text)


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
