"""The gateway's waiting line on a loop that is stepped by hand, with a clock that stands still."""

import asyncio
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from common.errors import Overloaded
from server.inference.queue import ModelQueue


class SteppedLoop(asyncio.SelectorEventLoop):
    """Its time stands still until a test moves it."""

    now = 0.0

    def time(self) -> float:
        return self.now


@dataclass(eq=False)
class Visit:
    """One request on its way through the line."""

    key: str
    number: int
    finish: asyncio.Event = field(default_factory=asyncio.Event)
    state: Literal["new", "waiting", "running", "done", "refused", "cancelled"] = "new"
    waited: float = 0.0
    error: Overloaded | None = None
    deadline: float = math.inf
    ahead: int = 0
    """Waiters of the same key when it came."""
    passed_by: Counter[str] = field(default_factory=Counter)
    """Key -> requests that were admitted while this one waited."""
    task: "asyncio.Task[None] | None" = None


class Model:
    """A model with so many slots, and the line before it; callers do what the relay does."""

    def __init__(self, slots: int, limit: int) -> None:
        self.loop = SteppedLoop()
        self.queue = ModelQueue(limit, self.loop.time)
        self.slots, self.in_flight = slots, 0
        self.visits: list[Visit] = []
        self.admitted: list[Visit] = []

    def close(self) -> None:
        for visit in self.visits:
            assert visit.task is not None
            visit.task.cancel()
        self.settle()
        assert (self.queue.depth, self.in_flight) == (0, 0)
        self.loop.close()

    def has_room(self) -> bool:
        return self.in_flight < self.slots

    def arrive(self, key: str, timeout_s: float = 1000.0) -> Visit:
        visit = Visit(key, len(self.visits))
        visit.task = self.loop.create_task(self._go(visit, timeout_s))
        self.visits.append(visit)
        return visit

    async def _go(self, visit: Visit, timeout_s: float) -> None:
        try:
            if self.queue.must_wait() or not self.has_room():
                visit.ahead = sum(other.key == visit.key for other in self.waiting())
                visit.deadline = self.loop.now + timeout_s
                visit.state = "waiting"
                visit.waited = await self.queue.wait(visit.key, timeout_s, self.has_room)
            self.in_flight += 1
            assert self.in_flight <= self.slots
            visit.state = "running"
            self.admitted.append(visit)
            for other in self.waiting():
                other.passed_by[visit.key] += 1
            try:
                await visit.finish.wait()
                visit.state = "done"
            finally:
                self.in_flight -= 1
                self.queue.release()
        except Overloaded as error:
            visit.state, visit.error = "refused", error
        except asyncio.CancelledError:
            visit.state = "cancelled"

    def waiting(self) -> list[Visit]:
        return [visit for visit in self.visits if visit.state == "waiting"]

    def running(self) -> list[Visit]:
        return [visit for visit in self.visits if visit.state == "running"]

    def settle(self) -> None:
        """Let everything happen that can without time passing."""

        async def rounds() -> None:
            for _ in range(4 * len(self.visits) + 8):
                await asyncio.sleep(0)

        self.loop.run_until_complete(rounds())

    def finish(self, visits: list[Visit]) -> None:
        for visit in visits:
            visit.finish.set()

    def pass_time(self, seconds: float) -> None:
        self.loop.now += seconds
