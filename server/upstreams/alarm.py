"""A connection's timer, which outlives the answers that it is set for."""

import asyncio
from collections.abc import Callable


class Alarm:
    """Rings in time or before: setting a timer for each answer and taking it back would cost 2 us."""

    __slots__ = ("_due", "_loop", "_timer", "ring")

    def __init__(self) -> None:
        self.ring: Callable[[], None] | None = None
        """Of whoever waits; it must find out by itself whether anything is due. None while nobody waits."""
        self._loop: asyncio.AbstractEventLoop | None = None
        """To ask asyncio for it takes a system call."""
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        """When the timer ends, by the loop's clock."""

    def set(self, seconds: float, ring: Callable[[], None]) -> None:
        """Call `ring` in so many seconds at the latest."""
        self.ring = ring
        loop = self._loop = self._loop or asyncio.get_running_loop()
        due = loop.time() + seconds
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._timer, self._due = loop.call_later(max(0.0, seconds), self._end), due

    def stop(self) -> None:
        """It rings no more."""
        self.ring = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self._timer = None
        if self.ring is not None:
            self.ring()
