"""Small files of every format that `documents` reads, made anew for each test."""

import ctypes
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pypdfium2 as pdfium
import pypdfium2.raw as raw

PAGE = (595.0, 842.0)
Colour = tuple[int, int, int]
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


@dataclass(frozen=True)
class Print:
    """A line of text on a page: its left end and baseline from the upper left corner, in points."""

    text: str
    x: float
    y: float
    size: float = 10.0
    colour: Colour = BLACK


@dataclass(frozen=True)
class Box:
    """A filled rectangle, or with `filled` false only its lines."""

    left: float
    top: float
    right: float
    bottom: float
    colour: Colour = BLACK
    filled: bool = False


@dataclass(frozen=True)
class Paper:
    """What stands on one page, in the order in which it is drawn."""

    parts: Sequence[Print | Box] = field(default=())


def write_pdf(path: Path, pages: Sequence[Paper]) -> Path:
    """A PDF in NanumGothic, written by pdfium."""
    spec = find_spec("koreanize_matplotlib")
    assert spec is not None
    assert spec.origin is not None
    letters = Path(spec.origin).with_name("fonts").joinpath("NanumGothic.ttf").read_bytes()
    pdf = pdfium.PdfDocument.new()
    data = (ctypes.c_uint8 * len(letters)).from_buffer_copy(letters)
    font = raw.FPDFText_LoadFont(pdf, data, len(letters), raw.FPDF_FONT_TRUETYPE, True)
    for paper in pages:
        page = pdf.new_page(*PAGE)
        for part in paper.parts:
            made = _text(pdf, font, part) if isinstance(part, Print) else _rectangle(part)
            raw.FPDFPage_InsertObject(page, made)
        page.gen_content()
        page.close()
    pdf.save(path)
    raw.FPDFFont_Close(font)
    pdf.close()
    return path


def _text(pdf: pdfium.PdfDocument, font: object, part: Print) -> object:
    made = raw.FPDFPageObj_CreateTextObj(pdf, font, part.size)
    letters = (part.text + "\0").encode("utf-16-le")
    raw.FPDFText_SetText(made, ctypes.cast(ctypes.c_char_p(letters), ctypes.POINTER(ctypes.c_ushort)))
    raw.FPDFPageObj_SetFillColor(made, *part.colour, 255)
    raw.FPDFPageObj_Transform(made, 1, 0, 0, 1, part.x, PAGE[1] - part.y)
    return made


def _rectangle(part: Box) -> object:
    made = raw.FPDFPageObj_CreateNewRect(
        part.left, PAGE[1] - part.bottom, part.right - part.left, part.bottom - part.top
    )
    raw.FPDFPageObj_SetFillColor(made, *part.colour, 255)
    raw.FPDFPageObj_SetStrokeColor(made, *part.colour, 255)
    raw.FPDFPath_SetDrawMode(made, raw.FPDF_FILLMODE_ALTERNATE if part.filled else 0, not part.filled)
    return made


def lines(text: str, x: float, y: float, characters: int, size: float = 10.0) -> list[Print]:
    """`text` cut after so many characters, wherever that is, as lines below each other."""
    parts = [text[at : at + characters] for at in range(0, len(text), characters)]
    return [Print(part.strip(), x, y + 1.5 * size * number, size) for number, part in enumerate(parts)]


def table(rows: Sequence[Sequence[str]], left: float, top: float) -> list[Print | Box]:
    """A ruled table with cells of 100 x 20 points."""
    made: list[Print | Box] = []
    for row, texts in enumerate(rows):
        for column, text in enumerate(texts):
            x, y = left + 100 * column, top + 20 * row
            made += [Box(x, y, x + 100, y + 20), Print(text, x + 5, y + 14)]
    return made


_SECTION = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<hs:sec xmlns:hs="http://www.hancom.co.kr/hwpml/2011/section"'
    ' xmlns:hp="http://www.hancom.co.kr/hwpml/2011/paragraph">{}</hs:sec>'
)
_PARAGRAPH = (
    '<hp:p id="0" paraPrIDRef="0" styleIDRef="0"><hp:run charPrIDRef="0"><hp:t>{}</hp:t></hp:run></hp:p>'
)
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<hh:head xmlns:hh="http://www.hancom.co.kr/hwpml/2011/head"'
    ' xmlns:hc="http://www.hancom.co.kr/hwpml/2011/core" version="1.4" secCnt="1">{}</hh:head>'
)
_PACKAGE = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<opf:package xmlns:opf="http://www.idpf.org/2007/opf/" version="" id=""><opf:manifest>'
    '<opf:item id="header" href="Contents/header.xml" media-type="application/xml"/>'
    '<opf:item id="section0" href="Contents/section0.xml" media-type="application/xml"/>'
    '</opf:manifest><opf:spine><opf:itemref idref="section0"/></opf:spine></opf:package>'
)


def write_hwpx(path: Path, paragraphs: Sequence[str], looks: str = "", body: str = "") -> Path:
    """The least that a reader of HWPX takes (KS X 6101). `looks` goes into the head and `body` behind the
    paragraphs, as they are."""
    section = _SECTION.format("".join(map(_PARAGRAPH.format, paragraphs)) + body)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/hwp+zip", zipfile.ZIP_STORED)
        archive.writestr(
            "version.xml",
            '<?xml version="1.0" encoding="UTF-8"?><hv:HCFVersion '
            'xmlns:hv="http://www.hancom.co.kr/hwpml/2011/version" major="5" minor="1"/>',
        )
        archive.writestr("Contents/content.hpf", _PACKAGE)
        archive.writestr("Contents/header.xml", _HEAD.format(looks))
        archive.writestr("Contents/section0.xml", section)
    return path
