"""How long one turn of an event loop takes, seen from inside.

    python benchmarks/loop_watch.py FIGURES gateway --port 8000 ...

runs a kodolly command with a watch in its event loop, which keeps the longest turn in the file FIGURES. A
timer is due every millisecond; between two of its calls lies at most one turn. Needs Linux.
"""

import asyncio
import os
import struct
import sys
import threading
import time
from dataclasses import dataclass
from io import FileIO
from mmap import mmap
from pathlib import Path
from typing import Any

TICK_S = 0.001
LOOKED_AT_S = 0.005
"""A shorter turn is no stall, whoever held it."""
FIGURES = struct.Struct("ddd")


@dataclass(frozen=True, slots=True)
class LoopTurn:
    """The longest turns since the last look, each figure for itself, in seconds."""

    held_s: float
    """Without the time in which this thread waited for a core (run_delay in /proc/PID/task/TID/schedstat) or
    another one of the process did, which may have had Python's lock: both are the machine's doing."""
    cpu_s: float
    """CPU time of the loop's thread."""
    wall_s: float


class LoopWatch:
    """Ticks in the running event loop until it ends."""

    def __init__(self, figures: mmap | bytearray) -> None:
        self.figures = figures
        self._thread = str(threading.get_native_id())
        self._schedstats: dict[str, FileIO] = {}
        self._last = self._now()
        self._waited = self._waits()

    def start(self) -> None:
        """Begin; also throws away what was measured before."""
        self._last, self._waited = self._now(), self._waits()
        asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _now(self) -> tuple[float, float]:
        return time.thread_time(), time.monotonic()

    def _waits(self) -> dict[str, float]:
        """Thread -> how long it has waited for a core since it began, in seconds."""
        found: dict[str, float] = {}
        for thread in os.listdir("/proc/self/task"):
            try:
                if thread not in self._schedstats:
                    path = f"/proc/self/task/{thread}/schedstat"
                    self._schedstats[thread] = open(path, "rb", buffering=0)  # noqa: SIM115
                self._schedstats[thread].seek(0)
                found[thread] = int(self._schedstats[thread].read().split()[1]) / 1e9
            except OSError:  # it has ended
                self._schedstats.pop(thread, None)
        return found

    def _tick(self) -> None:
        now = self._now()
        cpu_s, wall_s = (after - before for after, before in zip(now, self._last, strict=True))
        if wall_s > LOOKED_AT_S:
            waits = self._waits()
            waited = {thread: waits[thread] - self._waited.get(thread, 0.0) for thread in waits}
            own_s = waited.pop(self._thread)
            held_s = max(cpu_s, wall_s - own_s - max(waited.values(), default=0.0))
        else:
            held_s = wall_s
        longest = FIGURES.unpack_from(self.figures)
        FIGURES.pack_into(self.figures, 0, *map(max, longest, (held_s, cpu_s, wall_s)))
        self._last, self._waited = self._now(), self._waits()
        asyncio.get_running_loop().call_later(TICK_S, self._tick)


def longest_turn(figures: mmap | bytearray) -> LoopTurn:
    """What the watch has seen since the last call."""
    turn = LoopTurn(*FIGURES.unpack_from(figures))
    FIGURES.pack_into(figures, 0, 0.0, 0.0, 0.0)
    return turn


def shared_figures(path: Path, *, new: bool = False) -> mmap:
    """The figures in a file that two processes have open."""
    if new:
        path.write_bytes(bytes(FIGURES.size))
    with path.open("r+b") as file:
        return mmap(file.fileno(), FIGURES.size)


def main() -> None:
    """Run the command with the watch."""
    import uvicorn

    # Python puts this file's folder first, where webui.py would be taken for the package of that name.
    sys.path[0] = str(Path(__file__).parents[1])
    figures = shared_figures(Path(sys.argv[1]))
    serve = uvicorn.Server.serve

    async def watched(server: uvicorn.Server, *arguments: Any, **named: Any) -> None:
        LoopWatch(figures).start()
        await serve(server, *arguments, **named)

    uvicorn.Server.serve = watched  # type: ignore[assignment, method-assign]
    from kodolly.cli import main as command

    sys.argv = ["kodolly", *sys.argv[2:]]
    command()


if __name__ == "__main__":
    main()
