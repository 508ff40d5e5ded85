"""A terminal that is redrawn in place until somebody presses q."""

import os
import select
import shutil
import sys
import termios
import time
import tty
from collections.abc import Callable, Sequence

from common.errors import UserError
from common.escape import escape_controls
from kodolly.operate.table import fit

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""The terminal's second screen without a cursor, and back."""
HOME, END_LINE, END_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
QUIT = (b"q", b"Q", b"\x03", b"\x04", b"")


def redraw_until_quit(draw: Callable[[], Sequence[str]], every_s: float) -> None:
    """Show `draw()` every `every_s` seconds until q or Ctrl-C. Raises UserError without a terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError("This needs a terminal.", hint="`kodolly ps` prints the same once.")
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    sys.stdout.write(ENTER)
    try:
        tty.setcbreak(keyboard)
        while True:
            began = time.monotonic()
            _show(draw())
            while (left := every_s - (time.monotonic() - began)) > 0:
                if select.select([keyboard], [], [], left)[0] and os.read(keyboard, 1) in QUIT:
                    return
    except KeyboardInterrupt:
        return
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
        sys.stdout.write(LEAVE)
        sys.stdout.flush()


def _show(lines: Sequence[str]) -> None:
    columns, rows = shutil.get_terminal_size()
    shown = [fit(escape_controls(line), columns) + END_LINE for line in lines[: rows - 1]]
    sys.stdout.write(HOME + "\n".join(shown) + END_SCREEN)
    sys.stdout.flush()
