"""Slow a fast stream down to what a page can draw, and end it when somebody says stop."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

from webui.gateway_stream import NO_REST, Rest
from webui.wake_signal import Signal

T = TypeVar("T")

# Each update costs the browser a new layout of the pane; 15 a second look fluent.
INTERVAL_S = 1 / 15
READ_SHARE = 0.05
"""Of the time for which an answer has grown: by how much a speed may be wrong. As soon as INTERVAL_S is less,
what comes during a rest waits in the kernel, and counts as come when it is read."""
EARLY = 0.5
"""Of INTERVAL_S: how long before its time a batch may be shown. To wait for so little is a wake-up more."""
# With nothing to show, an empty batch this often keeps the clock of a waiting pane moving.
TICK_S = 1.0


def gathering(
    grown_s: Callable[[], float], clock: Callable[[], float] = time.monotonic
) -> Callable[[], Rest]:
    """How long more of an answer may gather that has grown for `grown_s()` seconds: all that grow, until the
    same moments, so that one wake-up does for them."""

    def rest() -> Rest:
        grown = grown_s()
        if grown <= 0:
            return NO_REST  # the first text comes at once
        left_s = INTERVAL_S - clock() % INTERVAL_S
        seconds = left_s if left_s > EARLY * INTERVAL_S else left_s + INTERVAL_S
        return Rest(seconds, listens=grown * READ_SHARE < INTERVAL_S)

    return rest


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
    ready = Signal()
    items: list[T] = []

    task, stopping = asyncio.create_task(_pump(source, items, ready)), asyncio.create_task(stop.wait())
    for ended in (task, stopping):
        ended.add_done_callback(lambda _: ready.set())
    clock, shown_at = asyncio.get_running_loop().time, float("-inf")
    try:
        while not stop.is_set():
            await ready.wait(tick_s)
            if items and not task.done() and (early_s := _early_s(interval_s, clock() - shown_at)):
                await asyncio.wait([stopping], timeout=early_s)
            ready.clear()
            batch, items[:] = items[:], []
            if rest_after(batch):
                shown_at = clock()
            yield batch
            if task.done() and not items:
                task.result()
                return
    finally:
        for owned in (task, stopping):
            owned.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)
        await source.aclose()


def _early_s(interval_s: float, since_s: float) -> float:
    """How much too early it is for a batch, `since_s` after the last. What a reader takes that rests by
    itself never is."""
    left_s = interval_s - since_s
    return left_s if left_s > EARLY * interval_s else 0.0


async def _pump(source: AsyncGenerator[T, None], items: list[T], ready: Signal) -> None:
    async for item in source:
        items.append(item)
        ready.set()
