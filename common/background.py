"""Tasks that run as long as a process: one that dies is logged and started again, never lost in silence."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

logger = logging.getLogger(__name__)

BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)
STABLE_S = 60.0
"""A task that ran this long starts again with the shortest pause."""


class Background:
    """Owner of tasks; at the end of its block all are cancelled and have ended."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work()` from now on; when it raises, log that and run it anew. It may end by itself."""
        self._tasks.append(asyncio.create_task(_keep(name, work), name=name))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _keep(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    failures = 0
    while True:
        began = time.monotonic()
        try:
            await work()
            return
        except Exception:
            failures = 0 if time.monotonic() - began > STABLE_S else failures
            pause = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]
            failures += 1
            logger.exception("%s failed; it is started again in %g s", name, pause)
        await asyncio.sleep(pause)
