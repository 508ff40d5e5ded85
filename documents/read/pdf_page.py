"""What a reader of a printed page sees: pieces of text with their boxes and sizes.

Text that leaves no mark on the rendered page, or is too small to read, is hidden: white on white, under a
picture, beside the page, of one pixel. It is found by looking at the pixels, so text recognised in a scan,
which is printed invisibly over its picture, is seen, and white text on a dark ground, too.
"""

import ctypes
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from documents.read.raw import Box

SMALLEST_PT = 2.0
"""Smaller text is not meant to be read."""
LEAST_CONTRAST = 12
"""Least difference, of 255, between the lightest and the darkest pixel where text can be seen."""
_SCALE = 1.5
"""Pixels for each point in the rendered page."""
_MOST_PIXELS = 6_000_000
_GENERATED_BREAKS = "\r\n"

Place = Callable[[float, float], int]
"""The table cell at a point of the page, -1 outside of tables."""


@dataclass(frozen=True)
class Piece:
    """Text without a gap, in one line, size and colour."""

    text: str
    box: Box
    size: float
    """Of the font, in points."""
    cell: int = -1
    """The table cell that it stands in."""


@dataclass(frozen=True)
class SeenPage:
    """The pieces in the order of the file, and what could not be seen or read."""

    pieces: tuple[Piece, ...]
    hidden_characters: int
    unreadable_share: float
    """How many characters have a font that does not say which letters they are."""


@dataclass
class _Run:
    """A piece that is being gathered."""

    characters: list[str]
    box: list[float]
    size: float
    colour: tuple[int, ...]
    cell: int


def see_page(page: Any, cell_at: Place) -> SeenPage:
    """`page` is a pdfium.PdfPage."""
    width, height = page.get_size()
    pixels = _Pixels(page)
    pieces: list[Piece] = []
    hidden = total = unreadable = 0
    for run, bad in _runs(page, cell_at):
        text = _whole("".join(run.characters))
        count = len("".join(text.split()))
        total += count
        unreadable += bad
        box = (run.box[0], run.box[1], run.box[2], run.box[3])
        middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        on_page = 0 <= middle[0] <= width and 0 <= middle[1] <= height
        if not count:
            if pieces and text:  # a space in a colour of its own
                pieces[-1] = replace(pieces[-1], text=pieces[-1].text + " ")
        elif run.size < SMALLEST_PT or not on_page or pixels.contrast(box) < LEAST_CONTRAST:
            hidden += count
        else:
            pieces.append(Piece(text, box, run.size, run.cell))
    return SeenPage(tuple(pieces), hidden, unreadable / total if total else 0.0)


def _runs(page: Any, cell_at: Place) -> Iterator[tuple[_Run, int]]:
    """Runs of characters, each with the number of those that cannot be read."""
    textpage = page.get_textpage()
    place = _to_page(page)
    run: _Run | None = None
    bad = 0
    for index in range(textpage.count_chars()):
        code = raw.FPDFText_GetUnicode(textpage, index)
        character = chr(code)
        if character in _GENERATED_BREAKS:
            if run is not None:
                yield run, bad
            run, bad = None, 0
            continue
        box = _box(textpage, index, place)
        if character == " " or box is None:  # the second letter of a ligature has no place of its own
            if run is not None:
                run.characters.append(character)
            continue
        size, colour = _style(textpage, index)
        cell = cell_at((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        if run is None or not _goes_on(run, box, size, colour, cell):
            if run is not None:
                yield run, bad
            run, bad = _Run([], list(box), size, colour, cell), 0
        run.characters.append(character)
        run.box = [*map(min, run.box[:2], box[:2]), *map(max, run.box[2:], box[2:])]
        bad += _is_unreadable(code) or raw.FPDFText_HasUnicodeMapError(textpage, index) == 1
    if run is not None:
        yield run, bad


def _goes_on(run: _Run, box: Box, size: float, colour: tuple[int, ...], cell: int) -> bool:
    if run.colour != colour or run.cell != cell or abs(run.size - size) > 0.1 * run.size:
        return False
    same_line = abs((run.box[1] + run.box[3]) - (box[1] + box[3])) < run.size
    return same_line and -run.size < box[0] - run.box[2] < run.size  # letters of a ligature overlap


def _style(textpage: Any, index: int) -> tuple[float, tuple[int, ...]]:
    """Size of the font in points as printed, after all scaling, and the colour of the letters."""
    parts = [ctypes.c_uint() for _ in range(4)]
    raw.FPDFText_GetFillColor(textpage, index, *parts)
    matrix = raw.FS_MATRIX()
    scaled = raw.FPDFText_GetMatrix(textpage, index, matrix)
    scale = math.hypot(matrix.c, matrix.d) if scaled else 1.0
    return raw.FPDFText_GetFontSize(textpage, index) * scale, tuple(part.value for part in parts)


def _box(textpage: Any, index: int, place: Callable[[float, float], tuple[float, float]]) -> Box | None:
    """The character's place with the height of its font; None for what has no place."""
    found = raw.FS_RECTF()
    if not raw.FPDFText_GetLooseCharBox(textpage, index, found) or found.left == found.right:
        return None
    (x1, y1), (x2, y2) = place(found.left, found.top), place(found.right, found.bottom)
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def _to_page(page: Any) -> Callable[[float, float], tuple[float, float]]:
    """From the file's coordinates to points from the upper left corner of the page as it is shown."""
    width, height = page.get_size()
    fine = 100

    def shown(x: float, y: float) -> tuple[float, float]:
        left, top = ctypes.c_int(), ctypes.c_int()
        raw.FPDF_PageToDevice(page, 0, 0, int(width * fine), int(height * fine), 0, x, y, left, top)
        return left.value / fine, top.value / fine

    (x0, y0), (x1, y1), (x2, y2) = shown(0, 0), shown(1000, 0), shown(0, 1000)
    a, b, c, d = (x1 - x0) / 1000, (x2 - x0) / 1000, (y1 - y0) / 1000, (y2 - y0) / 1000
    return lambda x, y: (x0 + a * x + b * y, y0 + c * x + d * y)


def _is_unreadable(code: int) -> bool:
    return code < 32 or code == 0xFFFD or 0xE000 <= code <= 0xF8FF


def _whole(text: str) -> str:
    """Pairs of surrogates as one character; pdfium's mark of a word cut at a line's end as a hyphen."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\ufffe", "-").replace("\x02", "-")


class _Pixels:
    """The page as it looks."""

    def __init__(self, page: Any) -> None:
        width, height = page.get_size()
        self._scale = min(_SCALE, (_MOST_PIXELS / max(width * height, 1)) ** 0.5)
        bitmap: pdfium.PdfBitmap = page.render(scale=self._scale, grayscale=True)
        self._width, self._height, self._stride = bitmap.width, bitmap.height, bitmap.stride
        self._bytes = bytes(bitmap.buffer)

    def contrast(self, box: Box) -> int:
        """The difference, 0 to 255, between the lightest and the darkest pixel in the middle of the box."""
        trim = (box[3] - box[1]) * 0.15
        left, right = int(box[0] * self._scale), int(box[2] * self._scale) + 1
        top, bottom = int((box[1] + trim) * self._scale), int((box[3] - trim) * self._scale) + 1
        left, right = max(left, 0), min(right, self._width)
        rows = [
            self._bytes[row * self._stride + left : row * self._stride + right]
            for row in range(max(top, 0), min(bottom, self._height))
        ]
        seen = b"".join(rows)
        return max(seen) - min(seen) if seen else 0
