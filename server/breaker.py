"""A circuit breaker for one upstream: who fails again and again is left alone, then tried with one request.

closed     requests go through; FAILURES in a row, or half of at least WINDOW recent ones, open it
open       no requests for a back-off that doubles up to OPEN_S[-1]
half_open  one probe is on its way; its outcome closes the breaker or opens it again
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

State = Literal["closed", "open", "half_open"]

FAILURES = 5
WINDOW = 20
OPEN_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)


@dataclass(slots=True)
class Breaker:
    """What counts as a failure is the caller's matter. Each `allow` that said yes is answered by exactly one
    of `succeeded`, `failed` and `abandoned`."""

    clock: Callable[[], float] = time.monotonic
    state: State = "closed"
    _in_a_row: int = 0
    _recent: float = 0.0
    _recent_failures: float = 0.0
    _opened: int = 0
    """How often in a row it has opened."""
    _until: float = 0.0

    def would_allow(self) -> bool:
        """Whether a request may go through; takes nothing."""
        if self.state == "closed":
            return True
        return self.state == "open" and self.clock() >= self._until

    def allow(self) -> bool:
        """Let a request through? An open breaker lets one probe through when its time is over."""
        if self.state == "closed":
            return True
        if self.state == "half_open" or self.clock() < self._until:
            return False
        self.state = "half_open"
        return True

    def succeeded(self) -> None:
        """The upstream answered."""
        if self.state != "closed":
            self.state, self._opened = "closed", 0
            self._recent = self._recent_failures = 0.0
        self._in_a_row = 0
        self._count(0.0)

    def failed(self) -> None:
        """The upstream did not answer as it should."""
        self._in_a_row += 1
        self._count(1.0)
        crowded = self._recent >= WINDOW and self._recent_failures > self._recent / 2
        if self.state == "half_open" or (self.state == "closed" and (self._in_a_row >= FAILURES or crowded)):
            self.state = "open"
            self._until = self.clock() + OPEN_S[min(self._opened, len(OPEN_S) - 1)]
            self._opened += 1
            self._in_a_row = 0
            self._recent = self._recent_failures = 0.0

    def abandoned(self) -> None:
        """The client went before anything was known: a probe's place is free again."""
        if self.state == "half_open":
            self.state, self._until = "open", self.clock()

    def _count(self, failures: float) -> None:
        self._recent += 1.0
        self._recent_failures += failures
        if self._recent >= 2 * WINDOW:  # the past counts half
            self._recent /= 2
            self._recent_failures /= 2
