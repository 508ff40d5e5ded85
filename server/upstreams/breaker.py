"""A circuit breaker for each upstream: one that keeps failing is left alone, then tried with one request.

    closed ----- 5 failures in a row, or over half of at least 20 requests -----> open
    open ------- back-off is over (1 s, doubled each time up to 30 s) ----------> half-open
    half-open -- the one probe succeeded: closed; it failed: open again

What counts as a failure is the caller's matter. Every request that is let through carries a ticket, which it
hands back with its outcome; so a request from before the breaker opened can neither close it, nor open it
once more, nor be taken for the probe.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Literal, get_args

FAILURES_IN_A_ROW = 5
WINDOW = 20
"""Fewest requests whose share of failures means something. At twice as many both counters are halved."""
FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 30.0

State = Literal["closed", "open", "half_open"]
STATES: tuple[State, ...] = get_args(State)


class Breaker:
    """One upstream's. Nothing here waits or does I/O; all calls come from one event loop."""

    __slots__ = (
        "_backoff_s",
        "_clock",
        "_failures",
        "_in_a_row",
        "_open_until",
        "_period",
        "_probe",
        "_requests",
        "_serial",
    )

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._serial = 0
        self._probe: int | None = None
        self._close()

    @property
    def state(self) -> State:
        """For metrics. It is half-open from the end of the back-off until the probe's outcome."""
        if self._open_until is None:
            return "closed"
        return "half_open" if self._clock() >= self._open_until else "open"

    @property
    def ready(self) -> bool:
        """Whether `allow` would let a request through now."""
        until = self._open_until
        return until is None or (self._probe is None and self._clock() >= until)

    @property
    def open_until(self) -> float:
        """When the back-off is over, by the clock; minus infinity when closed."""
        return -math.inf if self._open_until is None else self._open_until

    def allow(self) -> int:
        """A ticket, or 0 when the upstream must not be asked. Takes the probe's place when half-open.

        Each ticket goes back once, by `succeeded`, `failed` or `abandoned`.
        """
        if self._open_until is None:
            return self._period
        if not self.ready:
            return 0
        self._serial += 1
        self._probe = self._serial
        return self._serial

    def force(self) -> int:
        """A ticket even when open, for upstreams that `usable` keeps in against their breaker.

        Its success closes the breaker, its failure changes nothing: the back-off goes on.
        """
        return self.allow() or self._period

    def succeeded(self, ticket: int) -> None:
        """The upstream answered."""
        if self._open_until is not None:
            if ticket in (self._probe, self._period):
                self._close()
        elif ticket == self._period:
            self._in_a_row = 0
            self._count()

    def failed(self, ticket: int) -> None:
        """The upstream did not do what it should."""
        if self._open_until is not None:
            if ticket == self._probe:
                self._open()
        elif ticket == self._period:
            self._in_a_row += 1
            self._count()
            self._failures += 1
            too_many = self._requests >= WINDOW and 2 * self._failures > self._requests
            if too_many or self._in_a_row >= FAILURES_IN_A_ROW:
                self._open()

    def abandoned(self, ticket: int) -> None:
        """The client left before anything was known. A probe's place is free again."""
        if ticket == self._probe:
            self._probe = None

    def _count(self) -> None:
        if self._requests >= 2 * WINDOW:
            self._requests //= 2
            self._failures //= 2
        self._requests += 1

    def _close(self) -> None:
        self._open_until: float | None = None
        self._backoff_s = FIRST_BACKOFF_S
        self._new_period()

    def _open(self) -> None:
        self._open_until = self._clock() + self._backoff_s
        self._backoff_s = min(2 * self._backoff_s, LONGEST_BACKOFF_S)
        self._new_period()

    def _new_period(self) -> None:
        """Tickets given so far are void."""
        self._serial += 1
        self._period = self._serial
        self._probe = None
        self._in_a_row = self._requests = self._failures = 0


def usable(breakers: Sequence[Breaker]) -> list[int]:
    """Which of one model's upstreams may be asked, as positions in ascending order. Takes no probe's place.

    Those that are ready. When that is fewer than half (rounded down), those whose back-off ends first are
    kept in too, so that what is left is not crushed by the whole load. When none is ready, all: breakers that
    are all open more likely mean that the fault is ours or the request's. Each is asked by `force`.
    """
    ready = [at for at, breaker in enumerate(breakers) if breaker._open_until is None or breaker.ready]
    if len(ready) == len(breakers):
        return ready
    if not ready:
        return list(range(len(breakers)))
    missing = len(breakers) // 2 - len(ready)
    if missing <= 0:
        return ready
    out = sorted(set(range(len(breakers))) - set(ready), key=lambda at: breakers[at].open_until)
    return sorted(ready + out[:missing])
