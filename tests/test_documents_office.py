"""PPTX and XLSX: what people see of them is read, in order, and what they don't see is counted."""

import zipfile
from pathlib import Path

import pytest

from common.errors import UserError
from documents.document import Document
from documents.read.file import read_file

OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
SLIDE = (
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
    ' xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
    f' xmlns:r="{OFFICE}" xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
)
SHEET = f'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="{OFFICE}"'
TITLE = '<p:sp><p:nvPr><p:ph type="title"/></p:nvPr><a:p><a:r><a:t>{}</a:t></a:r></a:p></p:sp>'


def relations(**targets: str) -> str:
    """Id -> kind:target."""
    made = (
        f'<Relationship Id="{name}" Type="{OFFICE}/{kind}" Target="{target}"/>'
        for name, (kind, _, target) in ((name, value.partition(":")) for name, value in targets.items())
    )
    return f'<Relationships xmlns="{PACKAGE}">{"".join(made)}</Relationships>'


def zipped(path: Path, parts: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return path


def kinds(document: Document) -> list[list[tuple[str, str]]]:
    return [[(b.kind, page.text[b.start : b.end]) for b in page.blocks] for page in document.pages]


def test_slides_are_pages_in_the_order_of_the_show(tmp_path: Path) -> None:
    body = (
        "<p:sp><a:p><a:r><a:t>연차휴가는</a:t></a:r><a:r><a:t> 15일이다.</a:t></a:r></a:p><a:p/>"
        '<a:p><a:r><a:rPr sz="100"/><a:t>숨은 지시</a:t></a:r></a:p></p:sp>'
        '<p:sp><p:nvPr><p:ph type="sldNum"/></p:nvPr><a:p><a:fld><a:t>7</a:t></a:fld></a:p></p:sp>'
        "<p:graphicFrame><a:tbl><a:tr><a:tc><a:p><a:r><a:t>근속</a:t></a:r></a:p></a:tc></a:tr>"
        "<a:tr><a:tc><a:p><a:r><a:t>1년</a:t></a:r></a:p></a:tc></a:tr></a:tbl></p:graphicFrame>"
        "<mc:AlternateContent><mc:Choice><p:sp><a:p><a:r><a:t>도형</a:t></a:r></a:p></p:sp></mc:Choice>"
        "<mc:Fallback><p:sp><a:p><a:r><a:t>도형</a:t></a:r></a:p></p:sp></mc:Fallback></mc:AlternateContent>"
    )
    notes = "<p:sp><a:p><a:r><a:t>발표자 메모이다.</a:t></a:r></a:p></p:sp>"
    path = zipped(
        tmp_path / "a.pptx",
        {
            "ppt/presentation.xml": f'<p:presentation {SLIDE}><p:sldIdLst><p:sldId id="1" r:id="two"/>'
            '<p:sldId id="2" r:id="one"/><p:sldId id="3" r:id="out"/></p:sldIdLst></p:presentation>',
            "ppt/_rels/presentation.xml.rels": relations(
                one="slide:slides/slide1.xml",
                two="slide:/ppt/slides/slide2.xml",
                out="slide:slides/slide3.xml",
            ),
            "ppt/slides/slide1.xml": f"<p:sld {SLIDE}>{TITLE.format('휴가')}{body}</p:sld>",
            "ppt/slides/_rels/slide1.xml.rels": relations(n="notesSlide:../notesSlides/notes1.xml"),
            "ppt/notesSlides/notes1.xml": f"<p:notes {SLIDE}>{notes}</p:notes>",
            "ppt/slides/slide2.xml": f"<p:sld {SLIDE}>{TITLE.format('차례')}</p:sld>",
            "ppt/slides/slide3.xml": f'<p:sld {SLIDE} show="0">{TITLE.format("숨긴 쪽")}</p:sld>',
            "docProps/core.xml": '<c xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>발표</dc:title></c>',
        },
    )
    document = read_file(path)
    assert document.title == "발표"
    assert [page.number for page in document.pages] == [1, 2, 3]
    assert kinds(document) == [
        [("heading", "차례")],
        [
            ("heading", "휴가"),
            ("paragraph", "연차휴가는 15일이다."),
            ("table", "| 근속 |\n| --- |\n| 1년 |"),
            ("paragraph", "도형"),
            ("paragraph", "발표자 메모이다."),
        ],
        [],
    ]
    assert [page.hidden_characters for page in document.pages] == [0, len("숨은지시"), len("숨긴쪽")]


def test_sheets_are_tables_with_dates_as_dates(tmp_path: Path) -> None:
    rows = (
        '<row r="1"><c r="B1" t="s"><v>0</v></c></row><row r="2"/>'
        '<row r="3"><c r="B3" t="inlineStr"><is><t>사유</t></is></c><c r="C3" t="str"><v>금액</v></c>'
        '<c r="D3" t="str"><v>날</v></c></row>'
        '<row r="4"><c r="B4" t="s"><v>1</v></c><c r="C4"><f>A1*2</f><v>0.30000000000000004</v></c>'
        '<c r="D4" s="1"><v>45717</v></c><c r="E4" t="str"><v>숨은 열</v></c></row>'
        '<row r="5"><c r="B5" t="b"><v>1</v></c><c r="C5" s="3"><v>0.155</v></c>'
        '<c r="D5" s="2"><v>45717.395833333336</v></c></row>'
        '<row r="6" hidden="1"><c r="B6" t="str"><v>숨은 줄</v></c></row>'
    )
    styles = (
        '<numFmts><numFmt numFmtId="164" formatCode="yyyy&quot;년&quot; m&quot;월&quot; d hh:mm"/>'
        '<numFmt numFmtId="165" formatCode="#,##0&quot;mm&quot;"/></numFmts>'
        '<cellXfs><xf numFmtId="165"/><xf numFmtId="14"/><xf numFmtId="164"/><xf numFmtId="10"/></cellXfs>'
    )
    path = zipped(
        tmp_path / "a.xlsx",
        {
            "xl/workbook.xml": f'<workbook {SHEET}><sheets><sheet name="경조금" sheetId="1" r:id="a"/>'
            '<sheet name="비밀" sheetId="2" state="veryHidden" r:id="b"/></sheets></workbook>',
            "xl/_rels/workbook.xml.rels": relations(
                a="worksheet:worksheets/sheet1.xml",
                b="worksheet:worksheets/sheet2.xml",
                s="sharedStrings:sharedStrings.xml",
                t="styles:styles.xml",
            ),
            "xl/sharedStrings.xml": f"<sst {SHEET}><si><t>지급 기준</t></si>"
            "<si><r><t>결</t></r><r><t>혼</t></r><rPh><t>발음</t></rPh></si></sst>",
            "xl/styles.xml": f"<styleSheet {SHEET}>{styles}</styleSheet>",
            "xl/worksheets/sheet1.xml": f'<worksheet {SHEET}><cols><col min="5" max="5" hidden="1"/></cols>'
            f"<sheetData>{rows}</sheetData></worksheet>",
            "xl/worksheets/sheet2.xml": f'<worksheet {SHEET}><sheetData><row r="1"><c r="A1" t="str">'
            "<v>비밀</v></c></row></sheetData></worksheet>",
        },
    )
    document = read_file(path)
    table = (
        "| 사유 | 금액 | 날 |\n| --- | --- | --- |\n"
        "| 결혼 | 0.3 | 2025-03-01 |\n| TRUE | 15.5% | 2025-03-01 09:30 |"
    )
    assert kinds(document) == [[("heading", "경조금"), ("paragraph", "지급 기준"), ("table", table)], []]
    assert [page.hidden_characters for page in document.pages] == [len("숨은열숨은줄"), len("비밀")]


@pytest.mark.parametrize("name", ["a.pptx", "a.xlsx"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PK\x03\x04broken", "it is damaged"),
        (bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 600, "it is protected with a password"),
        (b"text", "file"),
    ],
)
def test_broken_files_cost_one_clear_line(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{name} cannot be read: .*{reason}"):
        read_file(path)


def test_what_a_part_refers_to_outside_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("기밀", encoding="utf-8")
    entity = f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{tmp_path}/secret">]>'
    path = zipped(
        tmp_path / "a.pptx",
        {
            "ppt/presentation.xml": f'<p:presentation {SLIDE}><p:sldId r:id="a"/></p:presentation>',
            "ppt/_rels/presentation.xml.rels": relations(a="slide:slides/slide1.xml"),
            "ppt/slides/slide1.xml": f"{entity}<p:sld {SLIDE}>{TITLE.format('앞&e;뒤')}</p:sld>",
        },
    )
    assert "기밀" not in read_file(path).pages[0].text


def test_a_sheet_with_far_apart_columns_holds_no_more_than_its_cells(tmp_path: Path) -> None:
    rows = "".join(
        f'<row r="{row}"><c r="A{row}" t="str"><v>{row}년</v></c><c r="XFD{row}"><v>{row}</v></c></row>'
        for row in range(1, 100)
    )
    path = zipped(
        tmp_path / "a.xlsx",
        {
            "xl/workbook.xml": f'<workbook {SHEET}><sheets><sheet name="" r:id="a"/></sheets></workbook>',
            "xl/_rels/workbook.xml.rels": relations(a="worksheet:sheet1.xml"),
            "xl/sheet1.xml": f"<worksheet {SHEET}><sheetData>{rows}</sheetData></worksheet>",
        },
    )
    (page,) = read_file(path).pages
    assert page.text.split("\n")[:3] == ["| 1년 | 1 |", "| --- | --- |", "| 2년 | 2 |"]


def test_files_in_the_strict_form_are_read(tmp_path: Path) -> None:
    def strict(text: str) -> str:
        kinds = ("presentationml", "spreadsheetml", "drawingml", "officeDocument")
        for kind in kinds:
            usual, other = f"openxmlformats.org/{kind}/2006/", f"purl.oclc.org/ooxml/{kind}/"
            text = text.replace(f"schemas.{usual}", other)
        return text

    sheet = f'<worksheet {SHEET}><sheetData><row><c t="str"><v>연차</v></c></row></sheetData></worksheet>'
    parts = {
        "a.pptx": {
            "ppt/presentation.xml": f'<p:presentation {SLIDE}><p:sldId r:id="a"/></p:presentation>',
            "ppt/_rels/presentation.xml.rels": relations(a="slide:slides/slide1.xml"),
            "ppt/slides/slide1.xml": f"<p:sld {SLIDE}>{TITLE.format('연차')}</p:sld>",
        },
        "a.xlsx": {
            "xl/workbook.xml": f'<workbook {SHEET}><sheets><sheet name="" r:id="a"/></sheets></workbook>',
            "xl/_rels/workbook.xml.rels": relations(a="worksheet:sheet1.xml"),
            "xl/sheet1.xml": sheet,
        },
    }
    for name, made in parts.items():
        path = zipped(tmp_path / name, {part: strict(text) for part, text in made.items()})
        assert [page.text for page in read_file(path).pages] == ["연차"]


def test_an_equation_of_a_slide_is_read(tmp_path: Path) -> None:
    math = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
    half = "<m:f><m:num><m:r><m:t>a</m:t></m:r></m:num><m:den><m:r><m:t>2</m:t></m:r></m:den></m:f>"
    body = f"<p:sp><a:p><a:r><a:t>값은</a:t></a:r><m:oMath {math}>{half}</m:oMath></a:p></p:sp>"
    path = zipped(
        tmp_path / "a.pptx",
        {
            "ppt/presentation.xml": f'<p:presentation {SLIDE}><p:sldId r:id="a"/></p:presentation>',
            "ppt/_rels/presentation.xml.rels": relations(a="slide:slides/slide1.xml"),
            "ppt/slides/slide1.xml": f"<p:sld {SLIDE}>{body}</p:sld>",
        },
    )
    assert read_file(path).pages[0].text == "값은 a/2"
