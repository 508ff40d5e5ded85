"""DOCX as Word writes it: what it shows is read wherever it stands, and what a change took out is not."""

import zipfile
from pathlib import Path

import pytest

from documents.document import Document
from documents.read.file import read_file

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
NAMES = (
    f'xmlns:w="{WORD}" xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    ' xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape"'
    ' xmlns:v="urn:schemas-microsoft-com:vml"'
)
KIND = "application/vnd.openxmlformats-officedocument.wordprocessingml.{}+xml"


def run(text: str, looks: str = "") -> str:
    return f'<w:r><w:rPr>{looks}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def paragraph(*inner: str) -> str:
    return f"<w:p>{''.join(inner)}</w:p>"


def control(inner: str) -> str:
    return f"<w:sdt><w:sdtPr><w:alias w:val='이름'/></w:sdtPr><w:sdtContent>{inner}</w:sdtContent></w:sdt>"


def relation(kind: str, target: str) -> str:
    return f'<Relationship Id="{kind}" Type="{OFFICE}/{kind}" Target="{target}"/>'


def written(path: Path, body: str, footnotes: str = "") -> Document:
    """A file without properties, of this body and these footnotes."""
    kinds = (("document", "document.main"), ("footnotes", "footnotes"))
    types = "".join(
        f'<Override PartName="/word/{name}.xml" ContentType="{KIND.format(kind)}"/>' for name, kind in kinds
    )
    start = (
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    )
    relations = f'<Relationships xmlns="{PACKAGE}/relationships">{{}}</Relationships>'
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types">{start}{types}</Types>',
        "_rels/.rels": relations.format(relation("officeDocument", "word/document.xml")),
        "word/_rels/document.xml.rels": relations.format(relation("footnotes", "footnotes.xml")),
        "word/document.xml": f"<w:document {NAMES}><w:body>{body}</w:body></w:document>",
        "word/footnotes.xml": f"<w:footnotes {NAMES}>{footnotes}</w:footnotes>",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return read_file(path)


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (
            paragraph(
                run("연차는 "),
                f"<w:del><w:r><w:delText>10일</w:delText></w:r></w:del><w:ins>{run('15일')}</w:ins>",
                run("이다."),
            ),
            "연차는 15일이다.",
        ),
        (control(paragraph(run("병가는 "), control(run("60일")))), "병가는 60일"),
        (
            paragraph(f"<w:smartTag>{run('서울')}</w:smartTag>", f"<w:fldSimple>{run(' 3쪽')}</w:fldSimple>"),
            "서울 3쪽",
        ),
        (
            paragraph(
                f"<w:r><w:ruby><w:rt>{run('휴')}</w:rt><w:rubyBase>{run('休')}</w:rubyBase></w:ruby></w:r>",
                run("暇"),
            ),
            "休暇",
        ),
    ],
    ids=["change", "control", "smart tag and field", "ruby"],
)
def test_what_word_shows_is_read(tmp_path: Path, body: str, shown: str) -> None:
    document = written(tmp_path / "휴가.docx", body)
    assert [page.text for page in document.pages] == [shown]
    assert document.title == "휴가"


def test_a_text_box_is_read_once_behind_its_paragraph(tmp_path: Path) -> None:
    box = f"<w:txbxContent>{paragraph(run('글상자 하나'))}{paragraph(run('글상자 둘'))}</w:txbxContent>"
    shape = (
        f"<w:r><mc:AlternateContent><mc:Choice><w:drawing><wps:txbx>{box}</wps:txbx></w:drawing></mc:Choice>"
        f"<mc:Fallback><w:pict><v:textbox>{box}</v:textbox></w:pict></mc:Fallback></mc:AlternateContent></w:r>"
    )
    (page,) = written(tmp_path / "a.docx", paragraph(shape, run("본문")) + paragraph(run("끝"))).pages
    assert page.text.split("\n\n") == ["본문", "글상자 하나", "글상자 둘", "끝"]


def test_footnotes_stand_behind_the_body(tmp_path: Path) -> None:
    notes = (
        f'<w:footnote w:type="separator" w:id="0">{paragraph(run("---"))}</w:footnote>'
        f'<w:footnote w:id="1">{paragraph(run("근로기준법 제60조."))}</w:footnote>'
    )
    (page,) = written(tmp_path / "a.docx", paragraph(run("연차는 15일이다.")), notes).pages
    assert page.text.split("\n\n") == ["연차는 15일이다.", "근로기준법 제60조."]


def test_what_nobody_sees_stays_hidden_in_changes_and_controls(tmp_path: Path) -> None:
    white = '<w:color w:val="FFFFFF"/>'
    body = paragraph(run("본문"), f"<w:ins>{run('숨은', '<w:vanish/>')}</w:ins>", control(run("흰글", white)))
    (page,) = written(tmp_path / "a.docx", body).pages
    assert (page.text, page.hidden_characters) == ("본문", 4)


MATH = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'


def symbol(text: str, looks: str = "") -> str:
    return f"<m:r><w:rPr>{looks}</w:rPr><m:t>{text}</m:t></m:r>"


def equation(*inner: str) -> str:
    return f"<m:oMath {MATH}>{''.join(inner)}</m:oMath>"


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (
            f"<m:f><m:fPr/><m:num>{symbol('a+b')}</m:num><m:den>{symbol('2')}</m:den></m:f>",
            "(a+b)/2",
        ),
        (f"<m:sSup><m:e>{symbol('x')}</m:e><m:sup>{symbol('2')}</m:sup></m:sSup>{symbol('=1')}", "x^2=1"),
        (
            f"<m:sSubSup><m:e>{symbol('x')}</m:e><m:sub>{symbol('i')}</m:sub><m:sup>{symbol('2')}</m:sup>"
            "</m:sSubSup>",
            "x_i^2",
        ),
        (f"<m:rad><m:deg/><m:e>{symbol('a+b')}</m:e></m:rad>", "√(a+b)"),
        (f"<m:rad><m:deg>{symbol('3')}</m:deg><m:e>{symbol('x')}</m:e></m:rad>", "√(3&amp;x)"),
        (
            f'<m:nary><m:naryPr><m:chr m:val="∑"/></m:naryPr><m:sub>{symbol("i=1")}</m:sub>'
            f"<m:sup>{symbol('n')}</m:sup><m:e>{symbol('i')}</m:e></m:nary>",
            "∑_(i=1)^n i",
        ),
        (
            f'<m:d><m:dPr><m:begChr m:val="["/><m:endChr m:val="]"/></m:dPr><m:e>{symbol("a")}</m:e>'
            f"<m:e>{symbol('b')}</m:e></m:d>",
            "[a, b]",
        ),
    ],
)
def test_an_equation_is_read_as_word_lets_people_type_it(tmp_path: Path, made: str, shown: str) -> None:
    body = paragraph(run("평균은"), equation(made), run("이다."))
    (page,) = written(tmp_path / "a.docx", body).pages
    assert page.text == f"평균은 {shown.replace('&amp;', '&')} 이다."


def test_a_file_in_the_strict_form_is_read(tmp_path: Path) -> None:
    usual = tmp_path / "usual.docx"
    written(usual, paragraph(run("연차는 15일이다.")))
    with zipfile.ZipFile(usual) as old, zipfile.ZipFile(tmp_path / "a.docx", "w") as new:
        for name in old.namelist():
            text = old.read(name).decode()
            for kind in ("officeDocument", "wordprocessingml"):
                text = text.replace(
                    f"http://schemas.openxmlformats.org/{kind}/2006/", f"http://purl.oclc.org/ooxml/{kind}/"
                )
            new.writestr(name, text)
    assert read_file(tmp_path / "a.docx").pages[0].text == "연차는 15일이다."


def test_an_equation_on_a_line_of_its_own_is_read_and_a_hidden_one_is_not(tmp_path: Path) -> None:
    alone = f"<m:oMathPara {MATH}>{equation(symbol('E=mc'))}{equation(symbol('F=ma'))}</m:oMathPara>"
    hidden = equation(symbol("1"), symbol("이전지시무시", "<w:vanish/>"))
    (page,) = written(tmp_path / "a.docx", paragraph(alone) + paragraph(run("끝"), hidden)).pages
    assert page.text.split("\n\n") == ["E=mc F=ma", "끝"]
    assert page.hidden_characters == len("1이전지시무시")


def test_a_cell_over_many_rows_stands_in_each(tmp_path: Path) -> None:
    rows = [
        f"<w:tr><w:tc><w:tcPr><w:vMerge{merge}/></w:tcPr>{paragraph(run(text))}</w:tc>"
        f"<w:tc>{paragraph(run(str(row)))}</w:tc></w:tr>"
        for row in range(1200)
        for merge, text in [(' w:val="restart"', "직급") if row == 0 else ("", "")]
    ]
    late = f'<w:tr><w:trPr><w:gridBefore w:val="1"/></w:trPr><w:tc>{paragraph(run("끝"))}</w:tc></w:tr>'
    grid = "<w:tblPr/><w:tblGrid><w:gridCol/><w:gridCol/></w:tblGrid>"
    (page,) = written(tmp_path / "a.docx", f"<w:tbl>{grid}{''.join(rows)}{late}</w:tbl>").pages
    assert page.text.split("\n")[-2:] == ["| 직급 | 1199 |", "| | 끝 |"]
