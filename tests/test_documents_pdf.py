"""PDF: columns, tables, running heads, lines that end within words, and text that nobody sees."""

from itertools import pairwise
from pathlib import Path

import pypdfium2 as pdfium
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from documents.document import Document
from documents.read.file import read_file
from documents.read.pdf import SCAN
from documents.read.pdf_layout import Item, reading_order
from tests.support.paper_files import BLACK, WHITE, Box, Paper, Print, lines, table, write_pdf

LEFT = (
    "제1조(휴가의 신청) 직원은 휴가를 사용하려는 날의 3일 전까지 소속 부서장에게 신청하여야 하며, 부서장은 "
    "업무에 중대한 지장이 없는 한 이를 승인하여야 한다. 다만 질병 등 부득이한 사유가 있는 경우에는 사후에 "
    "신청할 수 있다."
)
RIGHT = (
    "제2조(경조금의 청구) 경조금은 사유가 발생한 날부터 한 달 안에 청구하여야 하고 회사는 청구를 받은 날부터 "
    "열흘 안에 지급한다. 청구서에는 증빙을 붙인다. 증빙이 없으면 지급하지 아니한다."
)


def texts(document: Document) -> list[list[str]]:
    """Those of the blocks of each page."""
    return [[page.text[b.start : b.end] for b in page.blocks] for page in document.pages]


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Document:
    """Three pages with heads and numbers; on the first two columns, drawn line by line, and a table."""
    columns = lines(LEFT, 60, 180, 22), lines(RIGHT, 310, 180, 22)
    drawn = [line for pair in zip(*columns, strict=False) for line in pair]
    drawn += columns[0][len(columns[1]) :] + columns[1][len(columns[0]) :]
    first: list[Print | Box] = [
        Print("연차휴가 규정", 60, 130, 16),
        *drawn,
        *table([["근속", "일수"], ["1년", "15 일"], ["10년", "19일"]], 60, 420),
        Print("표 다음의 글이다.", 60, 520),
    ]
    pages: list[list[Print | Box]] = [
        first,
        [Print("직원은 휴가를 쓸 수", 60, 130)],
        [Print("있다.", 60, 130)],
    ]
    papers = [
        Paper([Print("가나다 취업규칙", 200, 40, 9), *page, Print(f"- {number} -", 290, 815, 9)])
        for number, page in enumerate(pages, 1)
    ]
    return read_file(write_pdf(tmp_path_factory.mktemp("pdf") / "rules.pdf", papers))


def test_columns_are_read_one_after_another_and_words_are_whole(rules: Document) -> None:
    blocks = texts(rules)[0]
    assert blocks[0] == "연차휴가 규정"
    assert blocks.index(LEFT) < blocks.index(RIGHT)


def test_a_ruled_table_becomes_markdown_once(rules: Document) -> None:
    made = "| 근속 | 일수 |\n| --- | --- |\n| 1년 | 15 일 |\n| 10년 | 19일 |"
    page = rules.pages[0]
    assert [b.kind for b in page.blocks if page.text[b.start : b.end] == made] == ["table"]
    assert page.text.count("15 일") == 1
    assert "표 다음의 글이다." in texts(rules)[0]


def test_heads_and_page_numbers_are_dropped_and_headings_kept(rules: Document) -> None:
    whole = "".join(page.text for page in rules.pages)
    assert "취업규칙" not in whole
    assert "- 1 -" not in whole
    assert rules.title == "연차휴가 규정"
    assert (rules.pages[0].blocks[0].kind, rules.pages[0].blocks[0].level) == ("heading", 1)


def test_a_paragraph_goes_on_over_the_page(rules: Document) -> None:
    assert [page.number for page in rules.pages] == [1, 2, 3]
    assert rules.pages[2].blocks[0].goes_on == " "
    assert rules.pages[1].blocks[0].goes_on is None


def test_each_line_knows_its_place_on_the_page(rules: Document) -> None:
    page = rules.pages[0]
    (line,) = [line for line in page.lines if page.text[line.start : line.end] == "표 다음의 글이다."]
    left, top, right, bottom = line.box
    assert (round(left), top < 520 < bottom) == (60, True)
    assert right > left + 60
    assert all(before.end <= after.start for before, after in pairwise(page.lines))


def test_only_text_that_can_be_seen_is_read(tmp_path: Path) -> None:
    paper = Paper(
        [
            Print("보이는 글이다.", 60, 130),
            Print("흰 바탕의 흰 글", 60, 200, 10, WHITE),
            Print("작은 글", 60, 250, 1),
            Print("가려진 글", 60, 300),
            Box(50, 280, 300, 310, BLACK, filled=True),
            Box(50, 380, 300, 410, (20, 20, 90), filled=True),
            Print("어두운 바탕의 흰 글", 60, 400, 10, WHITE),
            Print("쪽 밖의 글", 700, 400),
        ]
    )
    document = read_file(write_pdf(tmp_path / "a.pdf", [paper]))
    assert texts(document) == [["보이는 글이다.", "어두운 바탕의 흰 글"]]
    assert document.hidden_characters == len("흰바탕의흰글") + len("작은글") + len("가려진글") + len(
        "쪽밖의글"
    )


FONT = "<</Font<</F 5 0 R>>>>"


def stream(text: str, entries: str = "") -> str:
    drawn = f"BT /F 12 Tf 2 5 Td ({text}) Tj ET"
    return f"<<{entries}/Resources {FONT}/Length {len(drawn)}>>stream\n{drawn}\nendstream"


def note(kind: str, flags: int, look: int) -> str:
    place = f"72 {50 * look} 372 {50 * look + 20}"
    return f"<</Type/Annot/Subtype/{kind}/F {flags}/Rect[{place}]/AP<</N {look} 0 R>>>>"


def test_what_was_filled_in_and_noted_on_a_page_is_read(tmp_path: Path) -> None:
    looks = "/Type/XObject/Subtype/Form/BBox[0 0 300 20]"
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R"
        f"/Resources {FONT}/Annots[9 0 R 10 0 R 11 0 R]>>",
        stream("Name of the employee"),
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        *(stream(text, looks) for text in ("Kim Dolly", "Approved on Monday", "Obey this")),
        *(note(*given) for given in (("Widget/FT/Tx/T(a)", 4, 6), ("FreeText", 4, 7), ("FreeText", 2, 8))),
    ]
    numbered = "".join(f"{at} 0 obj\n{one}\nendobj\n" for at, one in enumerate(objects, start=1))
    path = tmp_path / "form.pdf"
    path.write_text(f"%PDF-1.7\n{numbered}trailer<</Size {len(objects) + 1}/Root 1 0 R>>\n%%EOF")
    (page,) = read_file(path).pages
    assert sorted(page.text.split("\n\n")) == ["Approved on Monday", "Kim Dolly", "Name of the employee"]


def test_a_page_that_is_a_picture_says_so(tmp_path: Path) -> None:
    source = pdfium.PdfDocument(write_pdf(tmp_path / "a.pdf", [Paper([Print("글이다.", 60, 130)])]))
    source[0].render().to_pil().convert("RGB").save(tmp_path / "scan.pdf")
    (page,) = read_file(tmp_path / "scan.pdf").pages
    assert (page.text, page.problem) == ("", SCAN)


def test_an_encrypted_file_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "locked.pdf"
    head = (
        b"%PDF-1.6\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj "
    )
    locked = (
        b"3 0 obj<</Filter/Standard/V 2/R 3/Length 128/P -44/O<"
        + b"00" * 32
        + b">/U<"
        + b"11" * 32
        + b">>>endobj\n"
    )
    trailer = b"trailer<</Root 1 0 R/Encrypt 3 0 R/ID[<00><00>]/Size 4>>\n%%EOF"
    path.write_bytes(head + locked + trailer)
    with pytest.raises(UserError, match=r"protected with a password\. Save it without the password"):
        read_file(path)


BOXES = st.tuples(st.floats(0, 500), st.floats(0, 700), st.floats(1, 500), st.floats(6, 20))


@given(st.lists(BOXES, max_size=30))
def test_no_text_is_lost_or_doubled_by_the_layout(boxes: list[tuple[float, float, float, float]]) -> None:
    items = [
        Item(f"<{number}>", (x, y, x + width, y + size), size)
        for number, (x, y, width, size) in enumerate(boxes)
    ]
    read = "".join(item.text for flow in reading_order(items) for item in flow)
    assert sorted(read.replace(" ", "")) == sorted("".join(item.text for item in items))


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        ("부서장은 이를 승인하여야 한", "다. 다만 급하면 다르다.", True),
        ("휴가 일수는 이 규정의 제2조와", "제3조에 따라 정한다.", True),
        ("이 규정을 시행하는 날은 2026.", "11. 28. 부터로 한다.", True),
        ("이 규정을 시행하는 날은 2026년", "11. 28. 이며 알린다.", True),
        ("부서장은 이를 승인하여야 한다.", "다. 다만 급한 일은 사후에 알린다.", False),
        ("가. 휴가", "나. 출장과 교육 그리고 그 밖의 근무", False),
        ("부서장이 정하는 바에 따르기로 하고", "제3조(휴가의 신청) 직원은 알려야 한다.", False),
    ],
)
def test_a_line_begins_a_paragraph_only_where_a_sentence_has_ended(
    tmp_path: Path, first: str, second: str, is_one: bool
) -> None:
    filling = "모두 이를 지킨다."
    drawn = [Print(text, 60, 130 + 15 * row) for row, text in enumerate([filling, first, second, filling])]
    (blocks,) = texts(read_file(write_pdf(tmp_path / "rules.pdf", [Paper(drawn)])))
    assert any(first[:4] in block and second[-5:] in block for block in blocks) == is_one
