"""Waiting for a state of the test's own process, whose event loop must go on meanwhile."""

import asyncio
from collections.abc import Callable

from tests.support.processes import PATIENCE_S


async def until(condition: Callable[[], bool]) -> None:
    """Return once `condition()` holds. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)
