"""Speed of one answer, measured where the reader sits: at the page, not at the engine."""

import time
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict


class Metrics(BaseModel):
    """What is shown below an answer. None means not known (yet)."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    ttft_ms: float | None = None
    """Milliseconds from sending the request to the first text, be it answer or reasoning."""
    reasoned_first: bool = False
    """What came first was reasoning."""
    reasoning_ms: float | None = None
    """Milliseconds from the first reasoning to the first text of the answer; before that text, to its latest
    piece."""
    tokens: int | None = None
    """Completion tokens as the engine counted them."""
    tokens_per_s: float | None = None
    """Tokens a second: those after the first over the time from the first text to the last; for an answer
    that came in one piece, all tokens over the whole time."""


class Stopwatch:
    """Start it when the request is sent; tell it of every text."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._start = clock()
        self._first: float | None = None
        self._last: float | None = None
        self._reasoning: float | None = None
        """When the first reasoning came."""
        self._reasoned: float | None = None
        """When the answer's first text came after it; until then, when its last piece came."""
        self._answered = False

    def text_arrived(self, at: float | None = None) -> None:
        """Some text of the answer came, just now or at that time of the clock."""
        self._arrived(at)
        if not self._answered and self._reasoning is not None:
            self._reasoned = self._last
        self._answered = True

    def reasoning_arrived(self, at: float | None = None) -> None:
        """Some reasoning came, just now or at that time of the clock."""
        self._arrived(at)
        if self._reasoning is None:
            self._reasoning = self._last
        if not self._answered:
            self._reasoned = self._last

    def _arrived(self, at: float | None) -> None:
        self._last = self._clock() if at is None else at
        if self._first is None:
            self._first = self._last

    @property
    def waited_s(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    @property
    def grown_s(self) -> float:
        """Seconds since the first text or reasoning; 0 before it."""
        return self._clock() - self._first if self._first is not None else 0.0

    def metrics(self, tokens: int | None) -> Metrics:
        """The figures so far."""
        if self._first is None or self._last is None:
            return Metrics(tokens=tokens)
        rate = None
        if tokens is not None and tokens > 1 and self._last - self._first > 0.001:
            rate = (tokens - 1) / (self._last - self._first)
        elif tokens:
            # A fast answer can come in one network packet; then only the whole time is known.
            rate = tokens / (self._last - self._start)
        reasoned = None
        if self._reasoning is not None and self._reasoned is not None:
            reasoned = (self._reasoned - self._reasoning) * 1000
        return Metrics(
            ttft_ms=(self._first - self._start) * 1000,
            reasoned_first=self._reasoning == self._first,
            reasoning_ms=reasoned,
            tokens=tokens,
            tokens_per_s=rate,
        )
