"""Text of a page that is a picture, by the program `tesseract` with its Korean model.

Columns are cut first: its own segmentation leaves out whole paragraphs of Korean pages, and as one block
(`--psm 6`) it reads across them. It says how sure it is of each word; nobody has checked that.
"""

import csv
import functools
import io
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from common.child_environment import SYSTEM, child_environment
from common.child_process import ending_with_parent
from common.errors import UserError
from documents.read.page_regions import regions
from documents.read.pdf_layout import Item
from documents.read.raw import Box, Unreadable

PROGRAM = "tesseract"
LANGUAGE = "kor"
HINT = "apt install tesseract-ocr tesseract-ocr-kor"
DPI = 200
MOST_PIXELS = 12_000_000
MARGIN_PT = 4.0
"""Paper around a region: letters at its edge are read worse."""
LEAST_CONFIDENCE = 60.0
"""Below it, in percent, a page is called hardly readable."""
LEAST_SPACE = 0.24
"""Least width of a space, in heights of the line: within words nine of ten gaps are narrower, and of the
spaces between words nineteen of twenty are wider."""
_POINTS_AN_INCH = 72


@dataclass(frozen=True)
class Recognised:
    """The lines of a page, each of the page's usual size, and how sure tesseract is of them, in percent."""

    items: tuple[Item, ...]
    confidence: float

    @property
    def note(self) -> str:
        """What to say of the page."""
        if not self.items:
            return "it is a picture in which no text was recognised"
        doubt = "" if self.confidence >= LEAST_CONFIDENCE else ": hardly readable"
        return f"its text was recognised in a picture, confidence {self.confidence:.0f}%{doubt}"


def require_tesseract() -> None:
    """Raises UserError where it, or its Korean model, is not installed."""
    if problem := missing_tesseract():
        raise UserError(f"OCR takes {problem}.", hint=HINT)


@functools.cache
def missing_tesseract() -> str:
    """What of it is missing; "" where nothing is."""
    if shutil.which(PROGRAM) is None:
        return f"the program {PROGRAM}, which is not installed"
    told = subprocess.run([PROGRAM, "--list-langs"], capture_output=True, text=True, check=False)
    return (
        "" if LANGUAGE in told.stdout.split() else f"{PROGRAM}'s model {LANGUAGE!r}, which is not installed"
    )


def recognise(page: Any) -> Recognised:
    """What stands on `page`, a pdfium.PdfPage. Raises Unreadable where tesseract fails."""
    found: list[tuple[str, Box, float]] = []
    for region in regions(page):
        found += _lines(page, region)
    if not found:
        return Recognised((), 0.0)
    size = median(box[3] - box[1] for _, box, _ in found)
    letters = sum(len(text) for text, _, _ in found)
    confidence = sum(len(text) * sure for text, _, sure in found) / letters
    return Recognised(tuple(Item(text, box, size) for text, box, _ in found), confidence)


def _lines(page: Any, region: Box) -> list[tuple[str, Box, float]]:
    """Text, box in points and confidence of each line of a region."""
    width, height = page.get_size()
    left, top = max(0.0, region[0] - MARGIN_PT), max(0.0, region[1] - MARGIN_PT)
    right, bottom = min(width, region[2] + MARGIN_PT), min(height, region[3] + MARGIN_PT)
    scale = min(DPI / _POINTS_AN_INCH, (MOST_PIXELS / ((right - left) * (bottom - top))) ** 0.5)
    bitmap = page.render(
        scale=scale, crop=(left, height - bottom, width - right, top), grayscale=True, may_draw_forms=True
    )
    words: dict[tuple[int, ...], list[dict[str, str]]] = {}
    for row in _words(_pgm(bitmap), round(scale * _POINTS_AN_INCH)):
        place = tuple(int(row[name]) for name in ("block_num", "par_num", "line_num"))
        words.setdefault(place, []).append(row)
    return [_line(line, scale, left, top) for line in words.values()]


def _line(words: Sequence[dict[str, str]], scale: float, left: float, top: float) -> tuple[str, Box, float]:
    boxes = [
        (x, y, x + float(word["width"]), y + float(word["height"]))
        for word in words
        for x, y in [(float(word["left"]), float(word["top"]))]
    ]
    edges = (*(min(box[n] for box in boxes) for n in (0, 1)), *(max(box[n] for box in boxes) for n in (2, 3)))
    x0, y0, x1, y1 = (value / scale for value in edges)
    letters = sum(len(word["text"]) for word in words)
    sure = sum(len(word["text"]) * float(word["conf"]) for word in words) / letters
    return _joined(words, boxes), (left + x0, top + y0, left + x1, top + y1), sure


def _joined(words: Sequence[dict[str, str]], boxes: Sequence[Box]) -> str:
    """The model takes many syllables for words, so the white between them decides."""
    least = LEAST_SPACE * max(box[3] - box[1] for box in boxes)
    text = words[0]["text"]
    for word, before, box in zip(words[1:], boxes, boxes[1:], strict=False):
        text += (" " if box[0] - before[2] >= least else "") + word["text"]
    return text


def _words(picture: bytes, dpi: int) -> list[dict[str, str]]:
    """Rows of tesseract's table (tesseract(1), `tsv`) that are words."""
    command = [PROGRAM, "stdin", "stdout", "-l", LANGUAGE, "--psm", "6", "--dpi", str(dpi), "tsv"]
    # With more threads one page takes many times as long as soon as anything else runs.
    environment = child_environment(os.environ, SYSTEM) | {"OMP_THREAD_LIMIT": "1"}
    done = subprocess.run(
        ending_with_parent(command), input=picture, capture_output=True, env=environment, check=False
    )
    if done.returncode:
        raise Unreadable(f"{PROGRAM} failed with exit code {done.returncode}")
    table = csv.DictReader(
        io.StringIO(done.stdout.decode("utf-8", "replace")), delimiter="\t", quoting=csv.QUOTE_NONE
    )
    return [row for row in table if row["level"] == "5" and (row["text"] or "").strip()]


def _pgm(bitmap: Any) -> bytes:
    """A grey picture in the plainest format there is (https://netpbm.sourceforge.net/doc/pgm.html)."""
    data, stride = bytes(bitmap.buffer), bitmap.stride
    rows = (data[row * stride : row * stride + bitmap.width] for row in range(bitmap.height))
    return b"P5 %d %d 255\n" % (bitmap.width, bitmap.height) + b"".join(rows)
