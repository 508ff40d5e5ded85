"""Lets what comes in bursts gather before it is read, as network cards do (interrupt coalescing).

Where an engine writes the next event of a stream while the gateway still passes on the one before, each
costs a wake-up, a read and a write, though one of each would do for several. A pause that is shorter than
what it saves lets them gather: a quarter of the CPU of such streams. At an engine's usual pace of a token a
step there are no bursts and no pauses.
"""

import asyncio
import time
from collections.abc import Callable

PAUSE_S = 50e-6
"""The kernel makes 0.1 ms of it (timer slack): about the time of five reads. The loop's own timers are too
coarse, and a turn that handles a few requests takes longer than this."""
SHORT_TURN_S = 1e-3
"""In a longer turn of the loop enough gathers without a pause."""


class Coalescing:
    """Pauses the event loop between two turns while bursts come. One per connection pool."""

    def __init__(
        self, sleep: Callable[[float], None] = time.sleep, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._sleep = sleep
        self._now = now
        self._is_due = False
        self._last = float("-inf")

    def burst(self) -> None:
        """A read brought more than one chunk: let a moment pass before the next reads, unless the turn of the
        loop that ends now was long."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._pause)

    def _pause(self) -> None:
        self._is_due = False
        if self._now() - self._last < SHORT_TURN_S:
            self._sleep(PAUSE_S)
        self._last = self._now()
