"""Aligned columns for terminals in which a Hangul syllable is two cells wide."""

import unicodedata
from collections.abc import Sequence

from common.escape import escape_controls


def width(text: str) -> int:
    """Cells that `text` takes in a terminal."""
    return sum(_cells(char) for char in text)


def _cells(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Cc", "Cf", "Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def fit(text: str, cells: int) -> str:
    """`text` cut to at most `cells` cells; what was cut ends in an ellipsis."""
    if width(text) <= cells:
        return text
    kept, used = "", 1
    for char in text:
        used += _cells(char)
        if used > cells:
            break
        kept += char
    return f"{kept}…" if cells > 0 else ""


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Lines with two spaces between columns; the columns in `right` are aligned at their right end.

    A cell stays one line, and nothing in it reaches the terminal as a command.
    """
    rows = [[escape_controls(cell) for cell in row] for row in rows]
    columns = range(max((len(row) for row in rows), default=0))
    widths = [max(width(row[column]) for row in rows) for column in columns]
    return ["  ".join(_pad(row[c], widths[c], c in right) for c in columns).rstrip() for row in rows]


def _pad(text: str, cells: int, to_right: bool) -> str:
    space = " " * (cells - width(text))
    return space + text if to_right else text + space
