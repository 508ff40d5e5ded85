"""One writer at a time: a lock that the system releases when its process ends, however that ends."""

import fcntl
from pathlib import Path

from common.errors import UserError


def lock_for(output: Path, descriptor: int) -> None:
    """Lock `descriptor`, an open file or directory beside `output`, so that no other run writes `output`
    until it is closed. Raises UserError when another run holds the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(f"Another run is writing {output} just now.", hint="Wait for it.") from error
