"""Long work in the event loop, in parts that let others run."""

import asyncio
import time

TURN_S = 0.004
"""How long one part of it takes, in seconds: a stall that nobody sees."""


class Turns:
    """Says when the loop has been held long enough. One for each piece of work, which asks `due` often."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = time.perf_counter() + TURN_S

    def due(self) -> bool:
        """Whether others should run now."""
        return time.perf_counter() >= self._until

    async def give_way(self) -> None:
        """Let them."""
        await asyncio.sleep(0)
        self._until = time.perf_counter() + TURN_S
