"""File descriptors of this process: as many as the system allows, and a warning in the log when they run
out.

Without one the event loop closes each new connection the moment it has accepted it (libuv does, with a spare
one), and nothing reports it.
"""

import logging
import os
import resource
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

ENOUGH = 65_536
"""What is asked for: a gateway holds two for each request that runs."""
SPARE = 8
"""With so few left, the next connection may be one too many: databases and upstreams need some, too."""
TELL_EVERY_S = 60.0


def raise_limit() -> None:
    """Lift the soft limit, often 1,024 for the sake of old programs, as far as the hard one lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(ENOUGH, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def one_is_left() -> bool:
    """Whether this process can have another descriptor now."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return False
    return True


class Shortage:
    """Tells of too few descriptors, once a minute at most. One per process."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._quiet_until = float("-inf")

    def saw(self, descriptor: int) -> None:
        """A new descriptor has this number. The lowest free one is given (POSIX, 2.6): as many are open."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if 0 <= limit - SPARE <= descriptor:
            self.tell()

    def tell(self) -> None:
        """There was none."""
        if self._now() < self._quiet_until:
            return
        self._quiet_until = self._now() + TELL_EVERY_S
        logger.error(
            "OUT OF FILE DESCRIPTORS: all %d that this process may have are open, or nearly. New connections"
            " are closed at once until others end. More are given by `ulimit -n`, LimitNOFILE= (systemd) or"
            " `ulimits: nofile` (Compose).",
            resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        )


shortage = Shortage()
"""This process's."""
