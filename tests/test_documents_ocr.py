"""Pages that are pictures: read column by column with tesseract, marked, and refused where it is missing."""

import json
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path

import pypdfium2 as pdfium
import pytest
from click.testing import CliRunner, Result
from PIL import Image, ImageOps

from common.errors import UserError
from documents.document import Document
from documents.read.file import ReadLimits, read_file
from documents.read.folder import readable_files
from documents.read.ocr import HINT, missing_tesseract, require_tesseract
from documents.read.page_regions import regions
from kodolly.cli import root
from tests.support.paper_files import Box, Paper, Print, lines, write_pdf
from tests.support.programs import absent
from tests.support.scanned_pages import FONT, scanned

ORIENTATION, TURNED_RIGHT = 0x0112, 6
"""Exif's tag, and its word for a picture to be shown turned to the right."""
HEADING = "가나다 주식회사 휴가와 경조금 규정"
PARAGRAPHS = (
    "제1조 직원은 휴가를 사용하려는 날의 사흘 전까지 소속 부서장에게 신청하여야 하며, 부서장은 업무에 중대한 "
    "지장이 없는 한 이를 승인하여야 한다. 다만 질병 등 부득이한 사유가 있는 때에는 나중에 신청할 수 있다.",
    "제2조 한 해 동안 팔 할 넘게 출근한 직원에게는 열닷새의 유급 휴가를 준다. 두 해마다 하루를 더하되 모두 "
    "스무닷새를 넘지 못한다. 쓰지 않은 휴가는 다음 해로 넘기지 않고 수당으로 준다.",
    "제3조 경조금은 사유가 생긴 날부터 한 달 안에 청구하여야 하고 회사는 청구를 받은 날부터 열흘 안에 "
    "지급한다. 청구서에는 증빙을 붙인다. 증빙이 없으면 지급하지 아니한다.",
    "제4조 출장을 마친 직원은 닷새 안에 영수증을 붙여 여비를 정산한다. 항공편은 가장 낮은 등급으로 하고 "
    "숙박비는 지역에 따라 정한 금액을 넘지 않아야 한다. 넘는 금액은 직원이 부담한다.",
)


OTHERS = (
    "제5조 재택근무는 한 주에 이틀까지 할 수 있다. 근무하는 곳과 시간을 부서장에게 미리 알리고, 회사의 "
    "문서를 집 밖으로 내보내지 않는다. 통신에 드는 비용은 매달 정한 만큼 회사가 낸다.",
    "제6조 교육을 받은 직원은 배운 것을 한 달 안에 동료에게 알린다. 교육비는 마친 뒤에 지급하되, "
    "도중에 그만두면 지급하지 아니한다. 외국에서 받는 교육은 위원회가 심사하여 정한다.",
    "제7조 물품을 사려는 부서는 견적서 두 통을 붙여 신청하고, 총무팀은 이레 안에 답한다. 급한 물품은 "
    "부서장이 먼저 사고 나중에 보고할 수 있다. 보고가 늦으면 비용을 인정하지 않는다.",
    "제8조 이 규정에 없는 것은 관계 법령과 관례를 따른다. 규정을 고치려면 직원 과반수의 의견을 들어야 "
    "한다. 고친 규정은 게시판에 열흘 동안 알린 다음 날부터 시행한다.",
)


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A heading over two columns, as a picture."""
    return picture_of(tmp_path_factory, (*PARAGRAPHS, *OTHERS))


@pytest.fixture(scope="module")
def short_scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is read in a quarter of the time, a second and a half for the whole page."""
    return picture_of(tmp_path_factory, PARAGRAPHS[2:3])


def picture_of(tmp_path_factory: pytest.TempPathFactory, paragraphs: Sequence[str]) -> Path:
    if missing_tesseract():
        absent("tesseract with its model kor")
    if not FONT.exists():
        absent(str(FONT))
    return scanned(tmp_path_factory.mktemp("scan") / "규정.pdf", [(HEADING, paragraphs)])


@pytest.fixture(scope="module")
def document(scan: Path) -> Document:
    return read_file(scan, ReadLimits(ocr=True))


def likeness(text: str, wanted: str) -> float:
    """1 for the same letters in the same order."""
    return SequenceMatcher(None, "".join(text.split()), "".join(wanted.split()), autojunk=False).ratio()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(root, ["documents", *arguments])


def test_columns_are_read_one_after_another(document: Document) -> None:
    (page,) = document.pages
    assert likeness(page.text, " ".join((HEADING, *PARAGRAPHS, *OTHERS))) > 0.93
    letters = "".join(page.text.split())
    places = [letters.index(word) for word in ("부득이한", "열흘", "교육비는", "게시판")]
    assert places == sorted(places)
    line = page.lines[1]
    left, top, right, bottom = line.box
    assert 50 < left < right < 310
    assert 60 < top < bottom < 150


def test_recognised_text_is_marked_with_its_confidence(document: Document) -> None:
    (page,) = document.pages
    assert page.confidence is not None
    assert 75 < page.confidence <= 100
    assert page.problem == f"its text was recognised in a picture, confidence {page.confidence:.0f}%"


def test_pages_with_text_of_their_own_are_left_as_they_are(short_scan: Path, tmp_path: Path) -> None:
    pdf = pdfium.PdfDocument(write_pdf(tmp_path / "a.pdf", [Paper([Print("글이 있는 쪽이다.", 60, 130)])]))
    pdf.import_pages(pdfium.PdfDocument(short_scan))
    pdf.save(tmp_path / "both.pdf")
    printed, picture = read_file(tmp_path / "both.pdf", ReadLimits(ocr=True)).pages
    assert (printed.text, printed.problem, printed.confidence) == ("글이 있는 쪽이다.", "", None)
    assert picture.confidence is not None


def test_a_scan_that_was_not_read_is_read_when_ocr_is_asked_for(
    short_scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KODOLLY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    assert "not read: page 1 (it is a picture without text)" in run("add", str(short_scan)).stdout
    added = run("add", str(short_scan), "--ocr").stdout
    assert added.startswith("replaced")
    assert "recognised in pictures: page 1 (confidence" in added
    assert run("add", str(short_scan), "--ocr").stdout.startswith("unchanged")
    assert "경조금" in run("search", "경조금은 언제까지 청구하나요?").stdout
    (hit,) = json.loads(run("search", "경조금 청구", "--json", "--limit", "1").stdout)
    assert hit["problem"].startswith("its text was recognised in a picture, confidence")
    shown = run("show", "규정.pdf", "--page", "1")
    assert "its text was recognised in a picture" in shown.output


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_picture_alone_is_a_page(scan: Path, document: Document, tmp_path: Path, suffix: str) -> None:
    """On its side, as a telephone stores it, and with a clear background, as a screen does."""
    picture = pdfium.PdfDocument(scan)[0].render(scale=200 / 72).to_pil()
    path = tmp_path / f"규정{suffix}"
    if suffix == ".png":
        clear = Image.new("RGBA", picture.size, (0, 0, 0, 0))
        clear.putalpha(ImageOps.invert(picture.convert("L")))
        clear.save(path)
    else:
        told = Image.Exif()
        told[ORIENTATION] = TURNED_RIGHT
        picture.convert("L").rotate(90, expand=True).save(path, exif=told)
    read = read_file(path, ReadLimits(ocr=True))
    (page,) = read.pages
    assert likeness(page.text, document.pages[0].text) > 0.95
    assert page.problem.startswith("its text was recognised in a picture, confidence")
    with pytest.raises(UserError, match="it is a picture, whose text takes OCR.*--ocr"):
        read_file(path)
    assert [*readable_files([tmp_path])] == []
    assert [*readable_files([tmp_path], ocr=True)] == [path]


def test_pictures_that_are_none_or_too_large_are_refused(tmp_path: Path) -> None:
    contents = {"글.png": b"not a picture", "반.jpg": b"\xff\xd8\xff" + bytes(100)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name} cannot be read: it is no "):
            read_file(tmp_path / name, ReadLimits(ocr=True))
    Image.new("1", (10_000, 6_000)).save(tmp_path / "큰.png")
    with pytest.raises(UserError, match="more than 50 million pixels"):
        read_file(tmp_path / "큰.png", ReadLimits(ocr=True))


def test_what_takes_too_long_is_stopped(scan: Path) -> None:
    with pytest.raises(UserError, match="takes more than 0 s"):
        read_file(scan, ReadLimits(ocr=True, ocr_seconds=0))


def test_without_tesseract_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    missing_tesseract.cache_clear()
    try:
        with pytest.raises(UserError, match="tesseract, which is not installed") as refused:
            require_tesseract()
        assert refused.value.hint == HINT
        told = run("add", str(tmp_path), "--ocr")
        assert isinstance(told.exception, UserError)
        assert told.stdout == ""
    finally:
        missing_tesseract.cache_clear()


def test_a_short_line_in_one_column_does_not_end_the_columns(tmp_path: Path) -> None:
    left = [*lines(PARAGRAPHS[0], 60, 200, 20), *lines("짧은 줄.", 60, 340, 20)]
    right = [*lines(PARAGRAPHS[2], 320, 200, 20), *lines(PARAGRAPHS[3], 320, 400, 20)]
    drawn: list[Print | Box] = [Print(HEADING + " " + HEADING, 60, 120, 18), *left, *right]
    page = pdfium.PdfDocument(write_pdf(tmp_path / "a.pdf", [Paper(drawn)]))[0]
    heading, first, second = regions(page)
    assert heading[3] < first[1]
    assert first[2] < 320 <= second[0]
    assert second[3] > 400
