"""How many requests may be tried again: a fifth in the long run; retries never bring down what is left.

A token bucket: each request puts in a fifth of a token, each retry takes a whole one out. It holds enough for
the death of one crowded worker, all of whose requests move at once. One retry a second is granted in any
case, so a quiet gateway can always fail over.
"""

import time
from collections.abc import Callable

REQUESTS_PER_RETRY = 5
BURST = 200
"""Retries that may come at once after good times."""
GRANT_S = 1.0
"""After this long without a retry there is one for nothing, in seconds."""


class RetryBudget:
    """Full in the beginning. Any T seconds with N requests have at most burst + N/5 + T + 1 retries."""

    __slots__ = ("_clock", "_fifths", "_last", "_most")

    def __init__(self, burst: int = BURST, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._most = self._fifths = burst * REQUESTS_PER_RETRY
        self._last = clock()

    def deposit(self) -> None:
        """A request has come; retries do not count as one."""
        if self._fifths < self._most:
            self._fifths += 1

    def try_withdraw(self) -> bool:
        """Whether a request may be tried once more. If so, that is taken as done."""
        now = self._clock()
        if self._fifths >= REQUESTS_PER_RETRY:
            self._fifths -= REQUESTS_PER_RETRY
        elif now - self._last < GRANT_S:
            return False
        self._last = now
        return True

    @property
    def saved(self) -> float:
        """Retries in the bucket, for metrics."""
        return self._fifths / REQUESTS_PER_RETRY
