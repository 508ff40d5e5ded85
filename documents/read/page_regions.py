"""Where on a picture of a page the columns are: cut at the white between them.

The page is cut into bands at white from edge to edge, and a band into columns at white from its top to its
bottom; neighbouring bands with a common gap are columns that go on.
"""

from collections.abc import Iterator
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

from documents.read.raw import Box

DARKER = 60
"""How much darker than the paper, of 255, ink is."""
LEAST_GAP_PT = 10.0
"""Least width of the white between columns, in points."""
LEAST_BAND_GAP_PT = 3.0
"""Least height of the white between bands: any between two lines."""
LEAST_COLUMN_PT = 90.0
SPECKS = 0.004
"""The share of a row or column of pixels that may be dark in white: dust."""
LEAST_HEIGHT_PT = 30.0
"""Least height of columns: about three lines."""
_Gap = tuple[int, int]


class _Part(NamedTuple):
    """Of the page, from top to bottom, and the white between its columns (None: it has one)."""

    top: int
    bottom: int
    gap: _Gap | None


def regions(page: Any) -> list[Box]:
    """Parts of `page`, a pdfium.PdfPage, that are read one after another, in points from its upper left."""
    ink = _Ink(page)
    made: list[Box] = []
    for part in _merged(ink):
        sides = [(0, ink.width)] if part.gap is None else [(0, part.gap[0]), (part.gap[1], ink.width)]
        for left, right in sides:
            box = ink.box(left, part.top, right, part.bottom)
            if box is not None:
                made.append(box)
    return made


class _Ink:
    """Which pixels of the page are dark; a pixel is a point."""

    def __init__(self, page: Any) -> None:
        bitmap = page.render(scale=1, grayscale=True)
        self.width, self.height = bitmap.width, bitmap.height
        data, stride = bytes(bitmap.buffer), bitmap.stride
        grey = b"".join(data[row * stride : row * stride + self.width] for row in range(self.height))
        paper = median(grey[:: max(1, len(grey) // 10_000)]) if grey else 255
        self._dark = grey.translate(bytes(value < paper - DARKER for value in range(256)))

    def rows(self, left: int, right: int, top: int, bottom: int) -> list[bool]:
        """Whether each row has ink."""
        least = SPECKS * (right - left)
        return [
            self._dark.count(1, row * self.width + left, row * self.width + right) > least
            for row in range(top, bottom)
        ]

    def columns(self, top: int, bottom: int) -> list[bool]:
        """Whether each column has ink."""
        part = self._dark[top * self.width : bottom * self.width]
        least = SPECKS * (bottom - top)
        return [part[column :: self.width].count(1) > least for column in range(self.width)]

    def box(self, left: int, top: int, right: int, bottom: int) -> Box | None:
        """The part of this that has ink; None where there is none."""
        rows = self.rows(left, right, top, bottom)
        columns = [column + left for column, ink in enumerate(self.columns(top, bottom)[left:right]) if ink]
        if True not in rows or not columns:
            return None
        last = len(rows) - rows[::-1].index(True)
        return float(columns[0]), float(top + rows.index(True)), float(columns[-1] + 1), float(top + last)


def _merged(ink: _Ink) -> list[_Part]:
    """Bands as long as one gap or none lasts. What has too few lines for columns has none."""
    parts: list[_Part] = []
    for top, bottom in _bands(ink):
        held = parts[-1] if parts else None
        common = None if held is None or held.gap is None else _white(ink, held.gap, top, bottom)
        if held is not None and common is not None:
            parts[-1] = _Part(held.top, bottom, common)
        else:
            parts.append(_Part(top, bottom, _gap(ink, top, bottom)))
    made: list[_Part] = []
    for part in parts:
        gap = part.gap if part.bottom - part.top >= LEAST_HEIGHT_PT else None
        if made and made[-1].gap is None and gap is None:
            made[-1] = _Part(made[-1].top, part.bottom, None)
        else:
            made.append(_Part(part.top, part.bottom, gap))
    return made


def _bands(ink: _Ink) -> Iterator[tuple[int, int]]:
    rows = ink.rows(0, ink.width, 0, ink.height)
    tops = [row for row, (before, now) in enumerate(pairwise([False, *rows])) if now and not before]
    ends = [row for row, (now, after) in enumerate(pairwise([*rows, False]), 1) if now and not after]
    held: tuple[int, int] | None = None
    for top, bottom in zip(tops, ends, strict=True):
        if held is not None and top - held[1] >= LEAST_BAND_GAP_PT:
            yield held
            held = None
        held = (top if held is None else held[0], bottom)
    if held is not None:
        yield held


def _gap(ink: _Ink, top: int, bottom: int) -> _Gap | None:
    """The widest white between two columns of this band."""
    columns = ink.columns(top, bottom)
    dark = [column for column, has in enumerate(columns) if has]
    gaps = [
        (left + 1, right)
        for left, right in pairwise(dark)
        if right - left - 1 >= LEAST_GAP_PT
        and left - dark[0] >= LEAST_COLUMN_PT
        and dark[-1] - right >= LEAST_COLUMN_PT
    ]
    return max(gaps, key=lambda gap: gap[1] - gap[0], default=None)


def _white(ink: _Ink, gap: _Gap, top: int, bottom: int) -> _Gap | None:
    """What of the gap is white in this band, too; None where that is too little. Lines of one column alone
    leave it as it is."""
    inked = [column + gap[0] for column, has in enumerate(ink.columns(top, bottom)[gap[0] : gap[1]]) if has]
    edges = [gap[0] - 1, *inked, gap[1]]
    whites = [(left + 1, right) for left, right in pairwise(edges) if right - left - 1 >= LEAST_GAP_PT]
    return max(whites, key=lambda white: white[1] - white[0], default=None)
