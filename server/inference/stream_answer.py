"""A stream that is read: whole events go on as they come, errors and the end are seen on the way.

All of it runs in the event loop's reader: one read from the engine is one write to the client, without a task
switch between.
"""

from collections.abc import Callable

from server.inference import dialects, sse, token_event, upstream_errors
from server.inference.delivery import BEGUN, LARGE_BYTES, OVER, Delivery
from server.inference.stream_counts import StreamCounts
from server.record import Usage

HELD_BYTES = 4096
"""How much of the comments before the first event is kept for the client."""
LARGE_READ_BYTES = 1 << 18
"""What the event loop reads at most at once."""
LEARN_EVENTS = 32
"""One of a stream's first events, so many at most, brings text and nothing else."""


class StreamAnswer:
    """Reads the events of one answer."""

    __slots__ = (
        "_acknowledge_less",
        "_attempt",
        "_cutter",
        "_delivery",
        "_dialect",
        "_held",
        "counts",
        "token_event",
    )

    def __init__(self, delivery: Delivery, acknowledge_less: Callable[[], None]) -> None:
        """`acknowledge_less` makes the connection cheaper for an engine that sends without waiting."""
        self._delivery = delivery
        self._attempt = delivery.attempt
        self._dialect = delivery.attempt.job.route.dialect
        self._acknowledge_less = acknowledge_less
        self._cutter = sse.EventCutter()
        self._held = b""
        """Comments before the first event."""
        self.counts = StreamCounts(delivery.attempt)
        self.token_event: token_event.TokenEvent | None = None
        """The form of the stream's further events, once known: those need no look at what they say."""

    def feed(self, data: bytes) -> None:
        """More of the body."""
        block = self._cutter.feed(data)
        if block:
            self._on_events(block)
        elif self._cutter.size > sse.MAX_EVENT_BYTES:
            self._delivery.fail(
                upstream_errors.endless(self._attempt.upstream, "an event", sse.MAX_EVENT_BYTES), retry=True
            )

    def finish(self) -> bytes:
        """The body has ended. Back comes what was no stream but JSON that did not say so."""
        large = self._cutter.size > sse.LARGE_EVENT_BYTES
        rest = b"" if large else self._cutter.pending.rstrip(b"\n")
        if dialects.is_last(rest, self._dialect):
            self._on_events(rest + b"\n\n")  # an engine that saves the last empty line
        elif rest.startswith(b"{") and not self._delivery.has_beginning:
            return rest
        else:
            self._delivery.break_off()
        return b""

    def usage(self) -> Usage | None:
        """As the engine counted, with an estimate of what it did not count; None if nothing has come."""
        counts = self.counts.found()
        if counts.prompt is not None and counts.completion is not None:
            return counts.usage(0, 0)
        nothing_came = self._attempt.resumption is None or not self.counts.events
        if self._delivery.first_event_at is None and nothing_came:
            return None
        return counts.usage(self._attempt.job.prompt_estimate, self.counts.events)

    def _on_events(self, block: bytes) -> None:
        """Hand on whole events."""
        delivery, attempt = self._delivery, self._attempt
        if len(block) > sse.LARGE_EVENT_BYTES:
            block = self._on_large_event(block)
            if not block or delivery.stage is OVER:
                return
        if attempt.resumption is not None:
            block = attempt.resumption.rewrite(block)
        block, events = sse.counted(block)
        if delivery.stage is not BEGUN:
            block = self._held + block
            if not events:
                self._hold(block)
                return
            self._held = b""
        elif not block:  # events without data
            return
        counts = self.counts
        counts.events += events
        if self.token_event is None and counts.events <= LEARN_EVENTS:
            self._learn(block)
        if attempt.history is not None:
            attempt.history.keep(block)
        if b'"usage"' in block:
            block = counts.noted(block)
        at = dialects.first_to_care_for(block, self._dialect)
        if at >= 0:
            self._on_notable_events(block, at)
        elif block:
            delivery.write(block)

    def _on_large_event(self, block: bytes) -> bytes:
        """Hand on the event that `block` begins with, looking at its two ends alone; the rest comes back.

        Only the first event of a block can be larger than a read: it has come in several.
        """
        end = block.find(b"\n\n", max(0, len(block) - LARGE_READ_BYTES)) + 2
        event, rest = block[:end], block[end:]
        delivery, attempt = self._delivery, self._attempt
        payload = dialects.large_event_json(event, self._dialect)
        if payload is None or attempt.resumption is not None:
            what = "an event with over 200,000 values and"
            delivery.fail(upstream_errors.endless(attempt.upstream, what, LARGE_BYTES), retry=True)
        elif dialects.is_error(payload):
            error = upstream_errors.from_event(attempt.upstream, payload, attempt.job.route.path)
            delivery.fail(error, retry=error.status >= 500)
        elif dialects.is_aborted(payload):
            delivery.fail(upstream_errors.broken_off(attempt.upstream), retry=True)
        else:
            self.counts.events += 1
            self.counts.newest = event
            if attempt.history is not None:
                attempt.history.give_up()
            if dialects.is_last_kind(payload.get("type"), self._dialect):
                delivery.end(event)
            else:
                delivery.write(event)
        return rest

    def _on_notable_events(self, block: bytes, at: int) -> None:
        """Where `at` points and behind it may be the end, an error or an abort."""
        delivery, attempt = self._delivery, self._attempt
        start = 0
        while at >= 0:
            start = len(sse.split_at(block, at)[0])
            end = block.find(b"\n\n", at) + 2
            event = block[start:end]
            payload = sse.event_json(event)
            if payload is not None and dialects.is_error(payload):
                error = upstream_errors.from_event(attempt.upstream, payload, attempt.job.route.path)
                delivery.fail(error, block[:start], retry=error.status >= 500)
                return
            if payload is not None and dialects.is_aborted(payload):
                delivery.fail(upstream_errors.broken_off(attempt.upstream), block[:start], retry=True)
                return
            if dialects.is_last(event, self._dialect):
                delivery.end(block[:start] + self.counts.owed() + event)
                return
            at = dialects.next_to_care_for(block, end, self._dialect)
        delivery.write(block)

    def _hold(self, block: bytes) -> None:
        """Comments while the request waits: the status is still open. Only the newest are kept, whole."""
        over = len(block) - HELD_BYTES
        self._held = block if over <= 0 else block[block.find(b"\n\n", over) + 2 :]

    def _learn(self, block: bytes) -> None:
        """See how the stream's events look, where nothing is done to them but taking our counts out."""
        attempt = self._attempt
        job, outbound = attempt.job, attempt.outbound
        plain = self._dialect == "openai" and attempt.history is None and attempt.resumption is None
        if plain and outbound.cuts_counts and job.choices == 1 and job.client.chunked:
            newest = sse.split_at(block, len(block) - 2)[1]
            self.token_event = token_event.token_event(newest, outbound.rename)
            if self.token_event is not None:
                self._acknowledge_less()  # it is vLLM, whose server sends without waiting
