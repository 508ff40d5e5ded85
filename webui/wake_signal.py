"""What one task waits for, and not for ever."""

import asyncio


class Signal:
    """An event for one task, which waits for it no longer than it likes. `asyncio.wait` and timeouts take
    several turns of the loop for the same."""

    __slots__ = ("_set", "_waiter")

    def __init__(self) -> None:
        self._set = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Wake who waits, or will wait."""
        self._set = True
        self._wake()

    def clear(self) -> None:
        """From now on `wait` waits again."""
        self._set = False

    async def wait(self, limit_s: float) -> bool:
        """Until it is set, at most `limit_s` seconds; whether it is."""
        if self._set:
            return True
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        alarm = loop.call_later(limit_s, self._wake)
        try:
            await self._waiter
        finally:
            alarm.cancel()
            self._waiter = None
        return self._set

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
