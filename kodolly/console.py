"""What the person at the terminal sees of a running stack: prefixed lines, one progress line, the URLs."""

import sys
import time
from dataclasses import dataclass, field

from common.escape import escape_controls

COLOURS = {"up": "1", "controller": "34", "gateway": "36", "webui": "35"}
WORKER_COLOURS = ("32", "33")
ENGINE_LINE = "engine |"
"""The prefix with which a worker marks lines of its engine."""


@dataclass(slots=True)
class Console:
    """Prints to stderr; the progress line is redrawn only on a terminal."""

    verbose: bool = False
    began: float = field(default_factory=time.monotonic)
    colour: bool = field(default_factory=lambda: sys.stderr.isatty())
    _progress: str = ""
    _last_plain: float = 0.0

    def say(self, part: str, line: str) -> None:
        """One log line of a part.

        vLLM's own go to the log file only, unless verbose: there are hundreds, and when an engine dies its
        worker says why.
        """
        if not self.verbose and line.startswith(ENGINE_LINE):
            return
        self._clear()
        line = escape_controls(line, keep="\t")
        code = COLOURS.get(part) or WORKER_COLOURS[hash(part) % 2]
        prefix = f"\x1b[{code}m{part:<18}\x1b[0m" if self.colour else f"{part:<18}"
        print(f"{prefix} {line}", file=sys.stderr, flush=True)
        self._draw()

    def progress(self, text: str) -> None:
        """Replace the progress line; without a terminal, print it every 10 s."""
        self._clear()
        self._progress = text = escape_controls(text)
        if self.colour:
            self._draw()
        elif text and time.monotonic() - self._last_plain >= 10:
            self._last_plain = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    def elapsed(self) -> float:
        """Seconds since the command began."""
        return time.monotonic() - self.began

    def _clear(self) -> None:
        if self.colour and self._progress:
            print("\r\x1b[2K", end="", file=sys.stderr)

    def _draw(self) -> None:
        if self.colour and self._progress:
            print(self._progress, end="", file=sys.stderr, flush=True)
