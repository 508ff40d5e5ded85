"""The waiting line of one model: bounded, fair between API keys, honest about how long it takes.

Keys take turns (round robin, Nagle 1985, RFC 970), within a key first come is first served: a key with a
thousand waiting requests delays a key with one by a single request. A full line makes room for a key that has
less in it at the cost of the key that has most (McKenney 1990, "Stochastic fairness queueing").

Only the head of the line ever looks for room, and only one waiter wakes at a time. So whoever gets its turn
must take its place (raise the in-flight counter) before it awaits anything:

    if queue.must_wait() or not has_room():
        await queue.wait(key_id, timeout_s, has_room)
    upstream.standing.in_flight += 1
    try: ...
    finally:
        upstream.standing.in_flight -= 1
        queue.release()
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from common.errors import Overloaded

LONGEST_RETRY_S = 60
MEMORY_S = 10.0
"""Time constant of the drain rate."""
FIRST_GUESS_PER_S = 10.0
"""Drain rate before the line has ever moved. It weighs as much as one admission."""


class ModelQueue:
    """Used from one event loop. `depth` is the number of waiting requests, at most `limit`."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self.depth = 0
        self._clock = clock
        self._lines: OrderedDict[str, OrderedDict[_Waiter, None]] = OrderedDict()
        """Key -> its waiters; the key whose turn is next comes first. A key without waiters is not
        listed."""
        self._admitted = 1.0
        self._waited_s = 1.0 / FIRST_GUESS_PER_S
        """Both fade with every second in which somebody waits; their quotient is the drain rate."""
        self._measured = clock()

    def must_wait(self) -> bool:
        """Whether there is a line; who comes now may not overtake it."""
        return self.depth > 0

    @property
    def drain_rate(self) -> float:
        """Admissions per second of waiting time, the last ten seconds weighing most."""
        self._measure()
        return self._admitted / self._waited_s

    def release(self) -> None:
        """Room may have become free at an upstream: a request ended, a worker came or recovered."""
        if self.depth:
            self._wake_head()

    async def wait(self, key_id: str, timeout_s: float, has_room: Callable[[], bool]) -> float:
        """Wait for a turn of `key_id`, then give the seconds waited.

        Raises Overloaded with `retry-after` and `retry-after-ms`, at once when the line is full, or after
        `timeout_s`; or when a key with fewer waiters needs the place. What `has_room` raises is passed on.
        """
        began = self._clock()
        self._find_place(key_id)
        loop = asyncio.get_running_loop()
        waiter = _Waiter(key_id)
        self._measure()
        self._lines.setdefault(key_id, OrderedDict())[waiter] = None
        self.depth += 1
        timer = loop.call_later(timeout_s, self._time_out, waiter, timeout_s)
        try:
            while not (self._head() is waiter and has_room()):
                waiter.turn = loop.create_future()
                await waiter.turn
                if waiter.refusal is not None:
                    raise waiter.refusal
            if waiter.turn is not None:
                self._measure()
                self._admitted += 1.0
            self._lines.move_to_end(key_id)
        finally:
            timer.cancel()
            self._leave(waiter)
        return self._clock() - began

    # -- the line -------------------------------------------------------------------------------

    def _head(self) -> "_Waiter | None":
        return next(iter(next(iter(self._lines.values())))) if self._lines else None

    def _wake_head(self) -> None:
        head = self._head()
        if head is not None:
            head.wake()

    def _leave(self, waiter: "_Waiter") -> None:
        """Leave the queue, for whatever reason. A wake-up that it has already had is handed to the next
        waiter."""
        line = self._lines.get(waiter.key_id)
        if line is None or waiter not in line:
            return
        self._measure()
        del line[waiter]
        if not line:
            del self._lines[waiter.key_id]
        self.depth -= 1
        self._wake_head()

    def _find_place(self, key_id: str) -> None:
        """When the line is full, let the newest waiter of the longest line go, or raise Overloaded."""
        if self.depth < self.limit:
            return
        longest = max(self._lines.values(), key=len, default=())
        if len(longest) < len(self._lines.get(key_id, ())) + 2:
            raise self._refusal("Too many requests wait for this model.")
        self._refuse(next(reversed(longest)), "Too many requests of this key wait for this model.")

    def _time_out(self, waiter: "_Waiter", timeout_s: float) -> None:
        self._refuse(waiter, f"No worker had room for the request within {timeout_s:g} s.")

    def _refuse(self, waiter: "_Waiter", message: str) -> None:
        self._leave(waiter)
        waiter.refusal = self._refusal(message)
        waiter.wake()

    def _refusal(self, message: str) -> Overloaded:
        """The error that tells a client to come back once all who wait now have had their turn."""
        seconds = (self.depth + 1) / max(self.drain_rate, 1e-9)
        seconds = min(max(seconds, 1.0), LONGEST_RETRY_S)
        return Overloaded(
            message,
            hint=f"Send it again in {math.ceil(seconds)} s.",
            headers={
                "retry-after": str(math.ceil(seconds)),
                "retry-after-ms": str(math.ceil(1000 * seconds)),
            },
        )

    def _measure(self) -> None:
        """Let the past fade for the time since the last call, if anybody waited in it."""
        now = self._clock()
        if self.depth:
            faded = math.exp((self._measured - now) / MEMORY_S)
            self._admitted *= faded
            self._waited_s = self._waited_s * faded + MEMORY_S * (1.0 - faded)
        self._measured = now


class _Waiter:
    """One request in the line."""

    __slots__ = ("key_id", "refusal", "turn")

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        self.turn: asyncio.Future[None] | None = None
        self.refusal: Overloaded | None = None

    def wake(self) -> None:
        """It looks for room, or finds that it was refused, in the loop's next round."""
        if self.turn is not None and not self.turn.done():
            self.turn.set_result(None)
