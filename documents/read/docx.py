"""DOCX: paragraphs, headings, lists, tables and text boxes of the body, then its notes. Page headers and
footers are left out."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docx
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.exceptions import PackageNotFoundError
from docx.oxml import parse_xml
from docx.oxml.ns import qn
from docx.table import Table, _Cell
from docx.text.paragraph import Paragraph
from docx.text.run import Run

from documents.document import BlockKind
from documents.read.docx_shown import show
from documents.read.raw import RawBlock, RawDocument, RawPage, Unreadable, block
from documents.read.strict_office import usual_package
from documents.read.tables import markdown_table
from documents.read.zip_size import check_unpacked_size

_HEADING = re.compile(r"(?:heading|제목) ?([1-9])$", re.IGNORECASE)
_NOTES = ("footnotes", "endnotes")
SMALLEST_PT = 2.0
MOST_COLUMNS = 63
"""Word makes no table wider."""


def read_docx(path: Path) -> RawDocument:
    """Raises Unreadable and OSError."""
    check_unpacked_size(path)
    try:
        package = usual_package(path)
        opened = docx.Document(str(package) if isinstance(package, Path) else package)
    except (PackageNotFoundError, KeyError, ValueError) as error:
        raise Unreadable("it is damaged or no DOCX file") from error
    reading = _BodyReading()
    show(opened.element.body)
    blocks = (*reading.blocks(opened), *reading.notes(opened.part))
    return RawDocument("docx", (RawPage(None, blocks, reading.hidden),), _title(opened.part.package))


def _title(package: Any) -> str:
    """What the file's properties call it; python-docx makes some up where there are none."""
    if not any(relation.reltype == RELATIONSHIP_TYPE.CORE_PROPERTIES for relation in package.rels.values()):
        return ""
    return str(package.core_properties.title or "").strip()


class _BodyReading:
    """Goes over the body once and counts what nobody can see."""

    def __init__(self) -> None:
        self.hidden = 0
        self._style_names: dict[str | None, str] = {}

    def blocks(self, container: Any) -> Iterator[RawBlock]:
        """Those of the document, or of a cell."""
        for item in container.iter_inner_content():
            if isinstance(item, Table):
                if made := markdown_table(list(self._rows(item))):
                    yield block("table", made)
            elif text := self._text(item).strip():
                style = self._style_name(item)
                level = _level(style)
                kind: BlockKind = "heading" if level else "paragraph"
                yield block(kind, f"- {text}" if "List" in style and not level else text, level)

    def notes(self, part: Any) -> Iterator[RawBlock]:
        """Footnotes and endnotes, which are parts of their own."""
        for relation in part.rels.values():
            kind = relation.reltype.rpartition("/")[2]
            if kind in _NOTES and not relation.is_external:
                root = parse_xml(relation.target_part.blob)
                show(root)
                shown = [note for note in root if note.get(qn("w:type"), "normal") == "normal"]
                for line in (line for note in shown for line in note.iter(qn("w:p"))):
                    if text := self._text(Paragraph(line, part)).strip():
                        yield block("paragraph", text)

    def _text(self, paragraph: Paragraph) -> str:
        parts = []
        shaded = _is_shaded(paragraph)
        for item in paragraph.iter_inner_content():
            for run in [item] if isinstance(item, Run) else item.runs:
                if _is_hidden(run, shaded):
                    self.hidden += len("".join(run.text.split()))
                else:
                    parts.append(run.text)
        return "".join(parts)

    def _style_name(self, paragraph: Paragraph) -> str:
        """python-docx goes over all styles for each paragraph that names none."""
        asked = paragraph._p.style
        if asked not in self._style_names:
            style = paragraph.style
            self._style_names[asked] = "" if style is None else style.name or ""
        return self._style_names[asked]

    def _rows(self, table: Table) -> Iterator[list[str]]:
        """The cells' texts; a cell over several rows stands in each, one over several columns once.

        python-docx looks for the first row of such a cell from each of its rows, one row at a time.
        """
        above: dict[int, str] = {}
        for row in table.rows:
            texts = [""] * min(row.grid_cols_before, MOST_COLUMNS)
            for tc in row._tr.tc_lst:
                at = len(texts)
                if tc.vMerge != "continue":
                    above[at] = self._cell(_Cell(tc, table))
                texts += [above.get(at, ""), *[""] * (min(tc.grid_span, MOST_COLUMNS) - 1)]
            yield texts

    def _cell(self, cell: _Cell) -> str:
        return " ".join(line.text for part in self.blocks(cell) for line in part.lines)


def _level(style: str) -> int:
    """1 to 6 for a heading, by the name of its style, else 0."""
    if style == "Title":
        return 1
    found = _HEADING.match(style)
    return min(int(found[1]), 6) if found else 0


def _is_hidden(run: Run, shaded: bool) -> bool:
    font = run.font
    if font.hidden or (font.size is not None and font.size.pt < SMALLEST_PT):
        return True
    color = font.color.rgb if font.color is not None else None
    return color is not None and min(color) >= 0xFA and not shaded and font.highlight_color is None


def _is_shaded(paragraph: Paragraph) -> bool:
    """Whether white text may have a background: of the paragraph, of its cell, or of the table's style."""
    return bool(
        paragraph._p.xpath(
            "./w:pPr/w:shd | .//w:rPr/w:shd | ancestor::w:tc/w:tcPr/w:shd"
            " | ancestor::w:tbl/w:tblPr/w:tblStyle[@w:val != 'TableGrid']"
        )
    )
