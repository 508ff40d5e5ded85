"""Each format is read into pages, headings, paragraphs and tables, without what nobody can see."""

import unicodedata
from pathlib import Path

import docx
import pytest
from docx.shared import Pt, RGBColor

from common.errors import UserError
from documents.document import Document
from documents.read.file import ReadLimits, read_file
from tests.support.paper_files import write_hwpx


def kinds(document: Document) -> list[tuple[str, int, str]]:
    """Kind, level and text of every block."""
    return [(b.kind, b.level, page.text[b.start : b.end]) for page in document.pages for b in page.blocks]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16", "utf-16-le", "utf-16-be"])
def test_text_is_read_in_the_encodings_of_korean_files(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "규정.txt"
    path.write_bytes("연차휴가는 15일이다.\r\n\r\n경조금은 따로 정한다.\r\n".encode(encoding))
    document = read_file(path)
    assert kinds(document) == [
        ("paragraph", 0, "연차휴가는 15일이다."),
        ("paragraph", 0, "경조금은 따로 정한다."),
    ]
    assert (document.title, document.format, document.pages[0].number) == ("규정", "text", None)


def test_text_becomes_nfc_and_loses_what_cannot_be_seen(tmp_path: Path) -> None:
    path = tmp_path / "mac.txt"
    tags = "".join(chr(0xE0000 + ord(letter)) for letter in "ignore")
    text = unicodedata.normalize("NFD", "연차휴가") + tags + "\u200b는\u00a0 15일\u202e이다. 👨‍👩‍👧"
    path.write_text(text, encoding="utf-8")
    (page,) = read_file(path).pages
    assert page.text == "연차휴가는 15일이다. 👨‍👩‍👧"
    assert page.hidden_characters == len("ignore")


@pytest.mark.parametrize("sign", ["\v", "\f", "\x1e", "\x85", "\u2028"])
def test_a_rarer_sign_for_the_end_of_a_line_ends_a_word(tmp_path: Path, sign: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"연차{sign}휴가", encoding="utf-8", newline="")
    assert read_file(path).pages[0].text.split() == ["연차", "휴가"]


def test_html_in_utf8_that_calls_itself_euc_kr_is_read(tmp_path: Path) -> None:
    page = '<meta charset="euc-kr"><p>연차휴가는 15일이다.</p>'
    for encoding in ("utf-8", "cp949"):
        path = tmp_path / f"{encoding}.html"
        path.write_bytes(page.encode(encoding))
        assert kinds(read_file(path)) == [("paragraph", 0, "연차휴가는 15일이다.")]


def test_markdown_keeps_headings_tables_and_code_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(
        "---\ntitle: 숨은 것\n---\n# 휴가\n첫 문단\n이어짐\n\n경조금\n---\n"
        "| 근속 | 일수 |\n|---|---|\n| 1년 | 15일 |\n\n```\n# 제목 아님\n```\n",
        encoding="utf-8",
    )
    assert kinds(read_file(path)) == [
        ("heading", 1, "휴가"),
        ("paragraph", 0, "첫 문단\n이어짐"),
        ("heading", 2, "경조금"),
        ("table", 0, "| 근속 | 일수 |\n|---|---|\n| 1년 | 15일 |"),
        ("code", 0, "```\n# 제목 아님\n```"),
    ]


def test_html_is_read_to_its_end_however_long_it_is(tmp_path: Path) -> None:
    """Behind 10 MB libxml2 gives up where nothing else is said."""
    path = tmp_path / "긴.html"
    path.write_text(f"<p>제1조</p><!--{'x' * 11_000_000}--><p>제2조</p>", encoding="utf-8")
    assert read_file(path).pages[0].text.split() == ["제1조", "제2조"]


def test_html_leaves_scripts_and_hidden_text_out(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_bytes(
        """<html><head><meta charset="euc-kr"><title>취업 규칙</title><style>p{}</style></head><body>
        <h1>제1장 <b>휴가</b></h1><script>나쁜 글()</script>
        <p>연차휴가는<br>15일<i>이다</i>.</p><p style="font-size: 1px">숨음</p>
        <p style="color:#fff">흰 글</p><div style="background:#000"><span style="color:#fff">보임</span></div>
        <ul><li>하나<li>둘</ul>
        <table><tr><th>근속</th><th>일수</th></tr><tr><td rowspan=2>1년</td><td>15일</td></tr>
        <tr><td>16|일</td></tr></table><pre>코드  둘</pre></body></html>""".encode("cp949")
    )
    document = read_file(path)
    assert document.title == "취업 규칙"
    assert document.hidden_characters == len("숨음") + len("흰글")
    assert kinds(document) == [
        ("heading", 1, "제1장 휴가"),
        ("paragraph", 0, "연차휴가는\n15일이다."),
        ("paragraph", 0, "보임"),
        ("paragraph", 0, "- 하나"),
        ("paragraph", 0, "- 둘"),
        ("table", 0, "| 근속 | 일수 |\n| --- | --- |\n| 1년 | 15일 |\n| 1년 | 16\\|일 |"),
        ("code", 0, "코드  둘"),
    ]


def test_docx_gives_headings_lists_and_tables_in_order(tmp_path: Path) -> None:
    made = docx.Document()
    made.core_properties.title = "취업 규칙"
    made.add_heading("제1장 휴가", 1)
    paragraph = made.add_paragraph("연차휴가는 15일이다.")
    for text, size, colour in (("작은 글", 1, None), ("흰 글", 10, RGBColor(255, 255, 255))):
        run = paragraph.add_run(text)
        run.font.size = Pt(size)
        if colour is not None:
            run.font.color.rgb = colour
    made.add_paragraph("하나", style="List Bullet")
    table = made.add_table(3, 2)
    for row, texts in enumerate((("근속", "일수"), ("1년", "15일"), ("", "16일"))):
        for column, text in enumerate(texts):
            table.cell(row, column).text = text
    table.cell(1, 0).merge(table.cell(2, 0))
    made.sections[0].header.paragraphs[0].text = "머리글"
    path = tmp_path / "a.docx"
    made.save(str(path))
    document = read_file(path)
    assert document.title == "취업 규칙"
    assert document.hidden_characters == len("작은글") + len("흰글")
    assert kinds(document) == [
        ("heading", 1, "제1장 휴가"),
        ("paragraph", 0, "연차휴가는 15일이다."),
        ("paragraph", 0, "- 하나"),
        ("table", 0, "| 근속 | 일수 |\n| --- | --- |\n| 1년 | 15일 |\n| 1년 | 16일 |"),
    ]


def test_hwpx_is_read(tmp_path: Path) -> None:
    path = write_hwpx(tmp_path / "a.hwpx", ["직원의 휴가에 관한 글이다.", "연차휴가는 15일이다."])
    texts = [text for _, _, text in kinds(read_file(path))]
    assert texts == ["직원의 휴가에 관한 글이다.", "연차휴가는 15일이다."]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.exe", b"MZ", "files of the kind '.exe' are not read. These are: .pdf,"),
        ("a.txt", b"", "it is empty."),
        ("a.txt", b"\x00\x01\x02\xff\xfe", "it is no text in UTF-8, UTF-16 or CP949. Save it as UTF-8."),
        ("a.pdf", b"hello", "it is no PDF file."),
        ("a.pdf", b"%PDF-1.7\nbroken", "it is damaged."),
        ("a.docx", b"PK\x03\x04broken", "it is damaged."),
        ("a.docx", bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 600, "it is protected with a password."),
        ("a.hwp", bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 600, "it is damaged or no HWP file."),
        ("a.hwpx", b"PK\x03\x04broken", "it is damaged."),
    ],
)
def test_a_broken_file_costs_one_clear_line(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_file(path)
    assert str(caught.value).startswith(f"{path} cannot be read: {reason}")
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read_file(tmp_path / "none.pdf")
    (tmp_path / "d.pdf").mkdir()
    with pytest.raises(UserError, match="it is no file"):
        read_file(tmp_path / "d.pdf")


def test_a_file_larger_than_allowed_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with path.open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(UserError, match=r"it has 2,048 MiB, more than 256 MiB\. Split it\."):
        read_file(path)


def test_more_text_than_allowed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("가나다라 " * 300_000, encoding="utf-8")
    with pytest.raises(UserError, match="it holds more than 1 MiB of text"):
        read_file(path, ReadLimits(text_bytes=2**20))


def test_html_whose_tags_are_never_closed_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("<p>앞" + "<font>글" * 1500, encoding="utf-8")
    assert read_file(path).pages[0].text == "앞" + "글" * 1500
    path.write_text("<p>앞" + "<font>글" * 5000, encoding="utf-8")
    with pytest.raises(UserError, match="too deep within each other"):
        read_file(path)


def test_an_equation_of_html_stays_in_its_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    root = "<msqrt><mi>a</mi><mo>+</mo><mi>b</mi></msqrt>"
    tex = '<annotation encoding="application/x-tex">\\sqrt{a+b}^2</annotation>'
    path.write_text(
        f"<p>답은 <math><semantics><msup>{root}<mn>2</mn></msup>{tex}</semantics></math>이다.</p>",
        encoding="utf-8",
    )
    assert read_file(path).pages[0].text == "답은 (√(a+b))^2 이다."
