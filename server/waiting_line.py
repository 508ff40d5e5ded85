"""The waiting line of one model: bounded, fair by key, and honest about how long it takes.

A request waits while every worker of its model has as many as it can run. Keys take turns, so that one with
a thousand requests does not hold up one with a single request; within a key the order is that of arrival.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable

from common.errors import Overloaded

DECAY_S = 10.0
"""Over about this time the rate at which places become free is measured."""
LONGEST_RETRY_S = 60


class WaitingLine:
    """`free` tells how many more requests the model's workers could take right now."""

    def __init__(
        self, limit: int, free: Callable[[], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._free = free
        self._clock = clock
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}
        """Keys in the order of their turns; only keys that wait."""
        self._depth = 0
        self._granted = 0
        """Places given to waiters who have not come to take them yet."""
        self._ended = 0.0
        self._ended_at = clock()

    @property
    def depth(self) -> int:
        """How many wait."""
        return self._depth

    def drain_rate(self) -> float:
        """Requests that ended per second, lately."""
        return self._ended * math.exp((self._ended_at - self._clock()) / DECAY_S) / DECAY_S

    def must_wait(self) -> bool:
        """Whether a newcomer has to line up: nobody overtakes."""
        return self._depth > 0 or self._free() <= self._granted

    async def wait(self, key_id: str, timeout_s: float) -> float:
        """Line up; returns the seconds waited. The caller must take its place before it awaits anything.

        Raises Overloaded with a Retry-After when the line is full or the time is over.
        """
        if self._depth >= self._limit:
            raise self._overloaded(f"All workers are busy and {self._depth} requests wait already.")
        began = self._clock()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(key_id, deque()).append(turn)
        self._depth += 1
        try:
            async with asyncio.timeout(timeout_s):
                await turn
        except TimeoutError as error:
            self._leave(key_id, turn)
            raise self._overloaded(f"All workers were busy for {timeout_s:.0f} s.") from error
        except asyncio.CancelledError:
            self._leave(key_id, turn)
            raise
        self._granted -= 1
        return self._clock() - began

    def ended(self) -> None:
        """A request of this model has ended: its place may go to the next."""
        now = self._clock()
        self._ended = self._ended * math.exp((self._ended_at - now) / DECAY_S) + 1.0
        self._ended_at = now
        if self._depth:
            self.wake()

    def wake(self) -> None:
        """Give free places away; also to be called when a worker has come."""
        while self._depth and self._free() > self._granted:
            key_id = next(iter(self._lines))
            line = self._lines.pop(key_id)
            turn = line.popleft()
            if line:
                self._lines[key_id] = line  # at the end: the other keys come first
            self._depth -= 1
            self._granted += 1
            turn.set_result(None)

    def _leave(self, key_id: str, turn: "asyncio.Future[None]") -> None:
        """Out of the line, wherever it stands; a place that was given already goes to the next."""
        line = self._lines.get(key_id)
        if line is not None and turn in line:
            line.remove(turn)
            self._depth -= 1
            if not line:
                del self._lines[key_id]
        else:
            self._granted -= 1
            self.wake()

    def _overloaded(self, message: str) -> Overloaded:
        rate = self.drain_rate()
        seconds = (self._depth + 1) / rate if rate > 0 else float(LONGEST_RETRY_S)
        seconds = min(max(seconds, 1.0), float(LONGEST_RETRY_S))
        return Overloaded(
            message,
            hint=f"Try again in {math.ceil(seconds)} s.",
            headers={
                "retry-after": str(math.ceil(seconds)),
                "retry-after-ms": str(math.ceil(seconds * 1000)),
            },
        )
