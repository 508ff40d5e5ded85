"""Progress of a long run, as it is shown to the person who waits for it."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from common.escape import escape_controls

LINE_EVERY_S = 10.0
"""Seconds between two lines where a line cannot be drawn over."""


@dataclass(frozen=True)
class Progress:
    """How far one stage of a run has come."""

    stage: str
    """The stage's name, e.g. `demo-base: training`."""
    done: float
    """Share of the work that is done, 0 to 1. Only `over` says that the stage has ended."""
    detail: str = ""
    seconds_left: float | None = None
    over: bool = False


Report = Callable[[Progress], None]


def finished(stage: str, detail: str = "") -> Progress:
    """The last progress of a stage."""
    return Progress(stage, 1.0, detail, over=True)


def format_progress(progress: Progress) -> str:
    """One line: stage, share that is done, time left, detail."""
    percent = 100 if progress.over else min(99, int(progress.done * 100))
    parts = [f"{progress.stage} {percent:3}%"]
    if progress.detail:
        parts.append(progress.detail)
    if progress.seconds_left is not None and not progress.over:
        parts.append(f"about {duration(progress.seconds_left)} left")
    return escape_controls(" · ".join(parts))


def duration(seconds: float) -> str:
    """A duration for people: `40 s`, `4 min`, `3.5 h`."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def terminal_report(stream: TextIO | None = None) -> Report:
    """A report that redraws one line on a terminal, and elsewhere prints a line every LINE_EVERY_S
    seconds."""
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
    """A report that shows nothing, for runs that nobody watches."""
