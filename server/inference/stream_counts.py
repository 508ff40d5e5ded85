"""The token counts of one stream: found in its events, taken out where the client has not asked for them."""

from server.inference import sse
from server.inference.job import Attempt
from server.inference.usage import NO_COUNTS, TokenCounts, counts_in


class StreamCounts:
    """What a stream has said of its tokens so far."""

    __slots__ = ("_begun", "_choices", "_dialect", "_outbound", "_told_total", "events", "newest")

    def __init__(self, attempt: Attempt) -> None:
        self._outbound = attempt.outbound
        self._dialect = attempt.job.route.dialect
        self._choices = attempt.job.choices
        self.events = 0
        """How many events with data have come: at most a token each."""
        self.newest = b""
        """The newest block that held token counts."""
        self._begun = b""
        """The block with the first event of a Messages stream, which counts the prompt."""
        self._told_total = False
        """The counts of the whole answer came in an event of their own, as OpenAI sends them."""

    def noted(self, block: bytes) -> bytes:
        """Remember what a block with the word "usage" says; back comes the block for the client."""
        if sse.has_counts(block):
            self.newest = block
            if self._dialect == "anthropic" and not self._begun and b'"message_start"' in block:
                self._begun = block
        if self._outbound.cuts_total or self._outbound.cuts_counts:
            return self._without_ours(block)
        return block

    def _without_ours(self, block: bytes) -> bytes:
        """The block as it would be if the gateway had not asked for counts."""
        if self._outbound.cuts_counts:
            last = sse.find_total(block)
            before, rest = sse.split_at(block, last) if last >= 0 else (block, b"")
            before = sse.without_usage(before)
        else:
            before, rest = sse.split_at(block, block.index(b'"usage"'))
        kept = [before]
        for event in sse.split_events(rest) if rest else ():
            payload = sse.event_json(event)
            if payload is None or payload.get("choices") != [] or not payload.get("usage"):
                kept.append(sse.without_usage(event) if self._outbound.cuts_counts else event)
            else:
                self.events -= 1
                self._told_total = True
                if not self._outbound.cuts_total:
                    kept.append(event)
        return b"".join(kept)

    def owed(self) -> bytes:
        """The event with the counts that the client asked for, when the engine has put them elsewhere and
        they were taken out there; else b""."""
        outbound = self._outbound
        if self._told_total or not outbound.cuts_counts or outbound.cuts_total or not self.newest:
            return b""
        return sse.total_event(sse.counted_event(self.newest), self.found())

    def found(self) -> TokenCounts:
        """The newest counts, of prompt and answer so far."""
        last = sse.counted_event(self.newest)
        if not last:
            return NO_COUNTS
        counts = counts_in(sse.event_data(last))
        if b'"message_start"' in last:
            return TokenCounts(counts.prompt, None, counts.cached)  # nothing was written yet
        if self._begun:
            at = self._begun.find(b'"usage"')
            first = sse.split_events(sse.split_at(self._begun, at)[1])[0]
            begun = counts_in(sse.event_data(first))
            return TokenCounts(
                counts.prompt or begun.prompt, counts.completion, counts.cached or begun.cached
            )
        # While they run, several choices are counted each for itself.
        if self._choices == 1 or sse.find_total(last) >= 0:
            return counts
        return TokenCounts(counts.prompt, None, counts.cached)
