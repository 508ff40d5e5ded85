"""PDF through pdfium; tables with pdfplumber's help."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_raw

from documents.read.pdf_blocks import Sizes, blocks_of, sizes_of
from documents.read.pdf_layout import Item, reading_order
from documents.read.pdf_page import SeenPage, see_page
from documents.read.pdf_tables import TableFinder
from documents.read.raw import LOCKED, RawBlock, RawDocument, RawPage, Unreadable
from documents.read.running_heads import without_running_heads

MOST_PAGES = 5000
MOST_UNREADABLE = 0.3
_WRITTEN = (pdfium_raw.FPDF_ANNOT_WIDGET, pdfium_raw.FPDF_ANNOT_FREETEXT, pdfium_raw.FPDF_ANNOT_STAMP)
SCAN = "it is a picture without text"
NO_LETTERS = "its fonts do not say which letters they print"


@dataclass(frozen=True)
class _ParsedPage:
    """A page as parsed, before it is known which of its lines are running heads."""

    items: list[Item]
    height: float
    hidden: int
    problem: str
    confidence: float | None = None


def read_pdf(path: Path, *, ocr: bool = False) -> RawDocument:
    """`ocr`: pages without text of their own are read as pictures. Raises Unreadable and OSError."""
    pdf = _opened(path)
    if len(pdf) > MOST_PAGES:
        raise Unreadable(f"it has {len(pdf)} pages, more than {MOST_PAGES}", "Split it.")
    finder = TableFinder(path)
    found = [_page(pdf, index, finder, ocr) for index in range(len(pdf))]
    title = str(pdf.get_metadata_dict().get("Title") or "").strip()
    return RawDocument("pdf", _pages(found), title)


def _opened(path: Path) -> Any:
    try:
        return pdfium.PdfDocument(path)
    except pdfium.PdfiumError as error:
        if getattr(error, "err_code", None) == pdfium_raw.FPDF_ERR_PASSWORD:
            raise Unreadable(LOCKED, "Save it without the password.") from error
        raise Unreadable("it is damaged") from error


def _page(pdf: Any, index: int, finder: TableFinder, ocr: bool) -> _ParsedPage:
    try:
        page = _filled_in(pdf, index)
        cells = finder.cells(page, index)
        seen = see_page(page, cells.at)
    except pdfium.PdfiumError:
        return _ParsedPage([], 1.0, 0, "it is damaged")
    try:
        problem = _problem(page, seen)
        if problem and ocr:
            return _recognised(page, seen)
        items = [Item(piece.text, piece.box, piece.size) for piece in seen.pieces if piece.cell < 0]
        items += cells.items([piece for piece in seen.pieces if piece.cell >= 0])
        return _ParsedPage([] if problem else items, page.get_height(), seen.hidden_characters, problem)
    finally:
        page.close()


def _filled_in(pdf: Any, index: int) -> Any:
    """A page with what was written into its form and onto it, which stands beside its text in the file.
    Hidden notes do not come with it."""
    page = pdf[index]
    if any(kind in _WRITTEN for kind in _annotations(page)):
        pdfium_raw.FPDFPage_Flatten(page, pdfium_raw.FLAT_NORMALDISPLAY)
        page.close()
        page = pdf[index]  # only a page that is opened anew has it
    return page


def _annotations(page: Any) -> Iterator[int]:
    """The kinds of what lies on the page."""
    for at in range(pdfium_raw.FPDFPage_GetAnnotCount(page)):
        if found := pdfium_raw.FPDFPage_GetAnnot(page, at):
            kind = pdfium_raw.FPDFAnnot_GetSubtype(found)
            pdfium_raw.FPDFPage_CloseAnnot(found)
            yield kind


def _recognised(page: Any, seen: SeenPage) -> _ParsedPage:
    from documents.read.ocr import recognise

    found = recognise(page)
    items = list(found.items)
    return _ParsedPage(
        items, page.get_height(), seen.hidden_characters, found.note, found.confidence if items else None
    )


def _problem(page: Any, seen: SeenPage) -> str:
    if seen.unreadable_share > MOST_UNREADABLE:
        return NO_LETTERS
    if not seen.pieces and any(page.get_objects(filter=(pdfium_raw.FPDF_PAGEOBJ_IMAGE,), max_depth=5)):
        return SCAN
    return ""


def _pages(found: Sequence[_ParsedPage]) -> tuple[RawPage, ...]:
    kept = without_running_heads([page.items for page in found], [page.height for page in found])
    sizes = sizes_of(
        item for page, items in zip(found, kept, strict=True) if page.confidence is None for item in items
    )
    return tuple(
        RawPage(number, _blocks(page, items, sizes), page.hidden, page.problem, page.confidence)
        for number, (page, items) in enumerate(zip(found, kept, strict=True), 1)
    )


def _blocks(page: _ParsedPage, items: list[Item], sizes: Sizes) -> tuple[RawBlock, ...]:
    """A picture does not say how large its letters are meant to be: only their words tell its headings."""
    if page.confidence is not None:
        sizes = Sizes(items[0].size if items else 0.0, ())
    return blocks_of(reading_order(items), sizes)
