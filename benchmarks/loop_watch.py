"""How long one turn of an event loop takes, seen from inside.

    python benchmarks/loop_watch.py FIGURES gateway --port 8000 ...

runs a kodolly command with a watch in its event loop, which keeps the longest turn in the file FIGURES. A
timer is due every millisecond; between two of its calls lies at most one turn. Needs Linux.
"""

import asyncio
import struct
import sys
import time
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Any

TICK_S = 0.001
FIGURES = struct.Struct("ddd")


@dataclass(frozen=True, slots=True)
class Turn:
    """The longest turns since the last look, each figure for itself, in seconds."""

    held_s: float
    """Without the time that the thread waited for a core (run_delay of /proc/thread-self/schedstat)."""
    cpu_s: float
    """CPU time of the loop's thread."""
    wall_s: float


class LoopWatch:
    """Ticks in the running event loop until it ends."""

    def __init__(self, figures: mmap | bytearray) -> None:
        self.figures = figures
        self._schedstat = Path("/proc/thread-self/schedstat").open("rb", buffering=0)  # noqa: SIM115
        self._last = self._now()

    def start(self) -> None:
        """Begin; also throws away what was measured before."""
        self._last = self._now()
        asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _now(self) -> tuple[float, float, float]:
        self._schedstat.seek(0)
        waited_s = int(self._schedstat.read().split()[1]) / 1e9
        return time.monotonic() - waited_s, time.thread_time(), time.monotonic()

    def _tick(self) -> None:
        now = self._now()
        longest = FIGURES.unpack_from(self.figures)
        turn = [after - before for after, before in zip(now, self._last, strict=True)]
        FIGURES.pack_into(self.figures, 0, *map(max, longest, turn))
        self._last = now
        asyncio.get_running_loop().call_later(TICK_S, self._tick)


def longest_turn(figures: mmap | bytearray) -> Turn:
    """What the watch has seen since the last call."""
    turn = Turn(*FIGURES.unpack_from(figures))
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
