"""One writer at a time: a lock that ends with its process, however that ends."""

import fcntl
from pathlib import Path

from common.errors import UserError


def lock_for(output: Path, descriptor: int) -> None:
    """Keep other runs from writing `output` until `descriptor`, an open file or directory beside it, is
    closed. Raises UserError where another run has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(f"Another run is writing {output} just now.", hint="Wait for it.") from error
