"""What every supervisor of child processes needs: when to start again, how it ended, its end with ours."""

import errno
import os
import shutil
import signal
import sys
from collections.abc import Sequence

PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
STABLE_S = 60.0
"""A process that did its work this long starts again with the shortest pause."""

# prctl(2), PR_SET_PDEATHSIG = 1: it outlives execve. A parent that was gone before is looked for afterwards.
_END_WITH_PARENT = (
    "import ctypes, os, sys\n"
    f"ctypes.CDLL(None).prctl(1, {int(signal.SIGTERM)})\n"
    "if os.getppid() != int(sys.argv[1]): raise SystemExit(1)\n"
    "os.execvp(sys.argv[2], sys.argv[2:])\n"
)


class Backoff:
    """Pauses before one process is started again: longer after each failure in a row."""

    def __init__(self) -> None:
        self._failures = 0

    def pause_s(self, worked_s: float) -> float:
        """Seconds to wait after an end; `worked_s` is how long the process did its work (0: it never did)."""
        if worked_s > STABLE_S:
            self._failures = 0
        pause = PAUSES_S[min(self._failures, len(PAUSES_S) - 1)]
        self._failures += 1
        return pause


def how_it_ended(code: int) -> str:
    """A return code of asyncio or subprocess, in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal has no name
        return f"killed by signal {-code}"


def ending_with_parent(argv: Sequence[str]) -> list[str]:
    """`argv`, started so that the kernel sends it SIGTERM when this process is gone, however that happened.

    Not SIGKILL: vLLM's server takes its EngineCore process along only when it may end by itself. The process
    asks for the signal itself, after it was started: between fork and exec of a process with threads nothing
    but exec is safe. Raises FileNotFoundError for a program that is not there.
    """
    if shutil.which(argv[0]) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])
    return [sys.executable, "-I", "-S", "-c", _END_WITH_PARENT, str(os.getpid()), *argv]
