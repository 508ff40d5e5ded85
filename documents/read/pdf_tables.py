"""Tables with ruled lines: pdfplumber finds their cells; the text comes from pdfium, which keeps spaces."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pdfplumber
import pypdfium2.raw as pdfium_raw

from documents.read.pdf_layout import Item
from documents.read.pdf_page import Piece
from documents.read.raw import Box
from documents.read.tables import markdown_table

_FEWEST_LINES = 4
_MOST_LINES = 3000
"""Drawings have more lines, and no cells."""


@dataclass(frozen=True)
class Grid:
    """A table: for each row and column the cell that covers it, or -1. A cell may cover several."""

    box: Box
    rows: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Cells:
    """All cells of a page and the tables that they make."""

    boxes: tuple[Box, ...] = ()
    grids: tuple[Grid, ...] = ()

    def at(self, x: float, y: float) -> int:
        """The cell at this point, else -1."""
        for index, (left, top, right, bottom) in enumerate(self.boxes):
            if left <= x <= right and top <= y <= bottom:
                return index
        return -1

    def items(self, pieces: list[Piece]) -> list[Item]:
        """One item for each table: Markdown of its pieces."""
        texts = ["" for _ in self.boxes]
        for piece in pieces:
            texts[piece.cell] += f" {piece.text}"
        made = [(grid, markdown_table(_texts(grid, texts))) for grid in self.grids]
        return [Item(text, grid.box, 0.0, is_table=True) for grid, text in made if text]


class TableFinder:
    """Opens a file's pages again, for those that may hold a table."""

    def __init__(self, path: Path) -> None:
        logging.getLogger("pdfminer").setLevel(logging.ERROR)  # it warns of fonts that it is not asked about
        self._open: Callable[[], Any] = lambda: pdfplumber.open(path)
        self._file: Any = None

    def cells(self, page: Any, index: int) -> Cells:
        """The cells on pdfium's `page`, which has this index in the file."""
        lines = 0
        for item in page.get_objects(filter=(pdfium_raw.FPDF_PAGEOBJ_PATH,), max_depth=5):
            lines += item.type == pdfium_raw.FPDF_PAGEOBJ_PATH
            if lines > _MOST_LINES:
                return Cells()
        if lines < _FEWEST_LINES:
            return Cells()
        if self._file is None:
            self._file = self._open()
        return _found(self._file.pages[index])


def _found(page: Any) -> Cells:
    left, top = page.cropbox[0] - page.bbox[0], page.cropbox[1] - page.bbox[1]
    boxes: list[Box] = []
    grids: list[Grid] = []
    for table in page.find_tables():
        rows = [list(row.cells) for row in table.rows]
        if len(rows) < 2 or max(map(len, rows)) < 2:
            continue
        first = len(boxes)
        boxes += [(x0 - left, y0 - top, x1 - left, y1 - top) for x0, y0, x1, y1 in table.cells]
        known = {cell: first + at for at, cell in enumerate(table.cells)}
        x0, y0, x1, y1 = table.bbox
        covered = tuple(tuple(_cover(row, column, rows, known) for column in range(len(row))) for row in rows)
        grids.append(Grid((x0 - left, y0 - top, x1 - left, y1 - top), covered))
        page.flush_cache()
    return Cells(tuple(boxes), tuple(grids))


def _cover(row: list[Box | None], column: int, rows: list[list[Box | None]], known: dict[Any, int]) -> int:
    """The cell that begins here, or the one from above that reaches into this row."""
    own = row[column]
    if own is not None:
        return known.get(own, -1)
    places = [cell for cell in row if cell is not None]
    above = next((other[column] for other in rows if column < len(other) and other[column] is not None), None)
    if not places or above is None:
        return -1
    y = (places[0][1] + min(cell[3] for cell in places)) / 2
    for cell, index in known.items():
        if cell[0] == above[0] and cell[1] < places[0][1] - 0.5 and y < cell[3]:
            return index
    return -1


def _texts(grid: Grid, texts: list[str]) -> list[list[str]]:
    return [[texts[cell] if cell >= 0 else "" for cell in row] for row in grid.rows]
