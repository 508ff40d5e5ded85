"""PPTX: each slide a page with its title, paragraphs, tables and the speaker's notes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from documents.read.equations import linear_equation
from documents.read.office_parts import RELATIONS, Parts, opened
from documents.read.raw import RawBlock, RawDocument, RawPage, block
from documents.read.tables import markdown_table

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_EQUATION = "{http://schemas.openxmlformats.org/officeDocument/2006/math}oMath"
_MAIN = "ppt/presentation.xml"
_TITLES = ("title", "ctrTitle")
_FURNITURE = ("dt", "ftr", "hdr", "sldNum", "sldImg")
"""Placeholders for date, footer, header and slide number, which every slide repeats."""
SMALLEST = 200
"""The smallest font that can be read, in hundredths of a point."""


def read_pptx(path: Path) -> RawDocument:
    """Raises Unreadable and OSError."""
    with opened(path, _MAIN, "PPTX") as parts:
        related = parts.related(_MAIN)
        shown = [related.get(one.get(f"{RELATIONS}id", "")) for one in parts.root(_MAIN).iter(f"{_P}sldId")]
        names = [found[1] for found in shown if found is not None]
        pages = tuple(_page(parts, number, name) for number, name in enumerate(names, start=1))
        return RawDocument("pptx", pages, parts.title())


def _page(parts: Parts, number: int, name: str) -> RawPage:
    """A slide that is left out of the show is text that nobody sees."""
    slide = _Slide()
    root = parts.root(name)
    blocks = list(slide.blocks(root))
    for kind, notes in parts.related(name).values():
        if kind == "notesSlide":
            blocks += slide.blocks(parts.root(notes))
    if root.get("show") in ("0", "false"):
        hidden = sum(len("".join(line.text.split())) for one in blocks for line in one.lines)
        return RawPage(number, (), slide.hidden + hidden)
    return RawPage(number, tuple(blocks), slide.hidden)


class _Slide:
    """Goes over a slide and its notes once, and counts what nobody can see."""

    def __init__(self) -> None:
        self.hidden = 0

    def blocks(self, root: Any) -> Iterator[RawBlock]:
        """Those of its shapes, in their order, groups among them."""
        for shape in root.iter(f"{_P}sp", f"{_P}graphicFrame"):
            if shape.tag == f"{_P}graphicFrame":
                for table in shape.iter(f"{_A}tbl"):
                    if made := markdown_table(list(self._rows(table))):
                        yield block("table", made)
                continue
            kind = next((one.get("type", "body") for one in shape.iter(f"{_P}ph")), "")
            if kind in _FURNITURE:
                continue
            lines = [text for one in shape.iter(f"{_A}p") if (text := self._text(one).strip())]
            if kind in _TITLES and lines:
                yield block("heading", " ".join(lines), 1)
            elif lines:
                yield from (block("paragraph", line) for line in lines)

    def _rows(self, table: Any) -> Iterator[list[str]]:
        for row in table.iter(f"{_A}tr"):
            yield [
                " ".join(text for one in cell.iter(f"{_A}p") if (text := self._text(one).strip()))
                for cell in row.iter(f"{_A}tc")
            ]

    def _text(self, paragraph: Any) -> str:
        made = []
        for one in paragraph.iter(f"{_A}r", f"{_A}br", f"{_A}fld", _EQUATION):
            text = _run_text(one)
            size = next((p.get("sz", "") for p in one.iter(f"{_A}rPr")), "")
            if size.isdigit() and int(size) < SMALLEST:
                self.hidden += len("".join(text.split()))
            else:
                made.append(text)
        return "".join(made)


def _run_text(run: Any) -> str:
    if run.tag == _EQUATION:
        return f" {linear_equation(run)} "
    return "\n" if run.tag == f"{_A}br" else "".join(part.text or "" for part in run.iter(f"{_A}t"))
