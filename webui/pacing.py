"""Slow a fast stream down to what a page can draw, and end it when somebody says stop."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

# Each update costs the browser a new layout of the pane; 15 a second look fluent.
INTERVAL_S = 1 / 15
READ_SHARE = 0.05
"""Of the time for which an answer has grown: how long its reader lets more of it gather. So its end is
noticed late by that share at most, and its speed is known to that share."""
# With nothing to show, an empty batch this often keeps the clock of a waiting pane moving.
TICK_S = 1.0


def gathering(grown_s: Callable[[], float]) -> Callable[[], Awaitable[None]]:
    """Waits, when called, for as long as more may gather of an answer that has grown for `grown_s()`
    seconds."""

    async def gather() -> None:
        if (rest_s := min(INTERVAL_S, READ_SHARE * grown_s())) > 0:
            await asyncio.sleep(rest_s)

    return gather


async def batches(
    source: AsyncGenerator[T, None],
    stop: asyncio.Event,
    interval_s: float = INTERVAL_S,
    tick_s: float = TICK_S,
    rest_after: Callable[[list[T]], bool] = bool,
) -> AsyncGenerator[list[T], None]:
    """Items of `source` in batches, an empty one after `tick_s` of silence.

    After a batch of which `rest_after` says so, the next one comes in `interval_s` at the earliest.

    Ends when `source` ends or `stop` is set; raises what `source` raised, after what came before it.
    `source` runs in one task that this generator owns and has always ended when it is left.
    """
    ready = asyncio.Event()
    items: list[T] = []

    task = asyncio.create_task(_pump(source, items, ready))
    task.add_done_callback(lambda _: ready.set())
    stopping = asyncio.create_task(stop.wait())
    stopping.add_done_callback(lambda _: ready.set())
    try:
        while not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(tick_s):
                    await ready.wait()
            ready.clear()
            batch, items[:] = items[:], []
            yield batch
            if task.done() and not items:
                task.result()
                return
            if rest_after(batch):
                await asyncio.wait([stopping], timeout=interval_s)
    finally:
        for owned in (task, stopping):
            owned.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)
        await source.aclose()


async def _pump(source: AsyncGenerator[T, None], items: list[T], ready: asyncio.Event) -> None:
    async for item in source:
        items.append(item)
        ready.set()
