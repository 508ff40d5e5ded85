"""What a long run tells the person who waits for it."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from common.escape import escape_controls

LINE_EVERY_S = 10.0
"""Between two lines where a line cannot be drawn over."""


@dataclass(frozen=True)
class Progress:
    """How far one stage is."""

    stage: str
    """What is being done, e.g. `demo-base: training`."""
    done: float
    """0 to 1; with 1 the stage is over (`under_way`)."""
    detail: str = ""
    seconds_left: float | None = None


Report = Callable[[Progress], None]


def under_way(done: float) -> float:
    """`done` of a stage that is not over, however its work has been counted."""
    return min(done, 0.999)


def format_progress(progress: Progress) -> str:
    """One line: what, how far, the rest."""
    parts = [f"{progress.stage} {int(progress.done * 100):3}%"]
    if progress.detail:
        parts.append(progress.detail)
    if progress.seconds_left is not None and progress.done < 1:
        parts.append(f"about {duration(progress.seconds_left)} left")
    return escape_controls(" · ".join(parts))


def duration(seconds: float) -> str:
    """`40 s`, `4 min`, `3.5 h`."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def terminal_report(stream: TextIO | None = None) -> Report:
    """A report that draws over one line on a terminal and prints a line now and then elsewhere."""
    out = stream or sys.stderr
    drawn_over = out.isatty()
    last_stage, last_time = "", 0.0

    def report(progress: Progress) -> None:
        nonlocal last_stage, last_time
        now = time.monotonic()
        finished = progress.done >= 1
        if drawn_over:
            out.write(f"\r\x1b[K{format_progress(progress)}" + ("\n" if finished else ""))
        elif finished or progress.stage != last_stage or now - last_time >= LINE_EVERY_S:
            out.write(format_progress(progress) + "\n")
        else:
            return
        out.flush()
        last_stage, last_time = progress.stage, now

    return report


def silent(_progress: Progress) -> None:
    """For callers that nobody watches."""
