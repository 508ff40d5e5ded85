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
    """0 to 1, as far as its work has been counted; `over` alone says that the stage has ended."""
    detail: str = ""
    seconds_left: float | None = None
    over: bool = False


Report = Callable[[Progress], None]


def finished(stage: str, detail: str = "") -> Progress:
    """The last word of a stage."""
    return Progress(stage, 1.0, detail, over=True)


def format_progress(progress: Progress) -> str:
    """One line: what, how far, the rest."""
    percent = 100 if progress.over else min(99, int(progress.done * 100))
    parts = [f"{progress.stage} {percent:3}%"]
    if progress.detail:
        parts.append(progress.detail)
    if progress.seconds_left is not None and not progress.over:
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
        if drawn_over:
            out.write(f"\r\x1b[K{format_progress(progress)}" + ("\n" if progress.over else ""))
        elif progress.over or progress.stage != last_stage or now - last_time >= LINE_EVERY_S:
            out.write(format_progress(progress) + "\n")
        else:
            return
        out.flush()
        last_stage, last_time = progress.stage, now

    return report


def silent(_progress: Progress) -> None:
    """For callers that nobody watches."""
