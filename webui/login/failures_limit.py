"""Holds up whoever tries key after key. 256 random bits cannot be guessed; this spares the gateway."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable

MOST_FAILURES = 10
WITHIN_S = 60.0
MOST_ADDRESSES = 10_000


class FailuresLimit:
    """Counts failed logins by address, in this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Seconds until this address may try again; 0 if it may right now."""
        times = self._failed.get(address)
        while times and self._clock() - times[0] >= WITHIN_S:
            times.popleft()
        if not times or len(times) < MOST_FAILURES:
            return 0.0
        return WITHIN_S - (self._clock() - times[0])

    def failed(self, address: str) -> None:
        """Count one."""
        times = self._failed.setdefault(address, deque(maxlen=MOST_FAILURES))
        times.append(self._clock())
        self._failed.move_to_end(address)
        if len(self._failed) > MOST_ADDRESSES:
            self._failed.popitem(last=False)
