"""Who asks a worker to stop, by when, and whether it is taken back."""

import asyncio
import logging

logger = logging.getLogger(__name__)


class StopWish:
    """A signal stops the worker for good; controllers may take back what they have asked."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self.hurry = asyncio.Event()
        """Set when the time for running requests is over."""
        self.stay = asyncio.Event()
        """Set when those who asked have taken it back."""
        self._hurrying: asyncio.TimerHandle | None = None
        self._signalled = False
        self._controllers: set[str] = set()
        """Those that ask us to stop."""

    @property
    def stands(self) -> bool:
        """Whether the worker shall stop."""
        return self._asked.is_set()

    async def wait(self) -> None:
        """Until somebody asks."""
        await self._asked.wait()

    def signal(self, within_s: float) -> None:
        """By a signal; a second one skips the wait for running requests."""
        if self._signalled:
            self.hurry.set()
        self._signalled = True
        self._ask(within_s)

    def wish(self, controller: str, within_s: float) -> None:
        """By a controller, which repeats it."""
        self._controllers.add(controller)
        if not self.stands:
            logger.info("a controller asks this worker to stop")
            self._ask(within_s)

    def take_back(self, controller: str) -> bool:
        """A controller asks no longer. True where the worker goes on now: no other one does."""
        self._controllers.discard(controller)
        if self._controllers or self._signalled or not self.stands:
            return False
        logger.info("this worker is to go on")
        if self._hurrying is not None:
            self._hurrying.cancel()
        self._asked.clear()
        self.hurry.clear()  # its time was over in this moment: the next wish has a time of its own
        self.stay.set()
        return True

    def _ask(self, within_s: float) -> None:
        self._hurrying = asyncio.get_running_loop().call_later(within_s, self.hurry.set)
        self.stay.clear()
        self._asked.set()
