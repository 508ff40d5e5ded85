"""HWP 5: its text is read without what stands on each page, and a file that hides its text says so."""

import random
from pathlib import Path

import pytest

from common.errors import UserError
from documents.read.file import read_file
from tests.support.hwp5_files import paragraph, write_hwp5

LONG = "".join(random.Random(1).choices("가나다라마바사아자차카타파하", k=6000))
"""Packed it takes more than 4096 bytes, and so sectors of its own."""


def shown(path: Path) -> list[str]:
    return read_file(path).pages[0].text.split("\n\n")


@pytest.mark.parametrize("rest", ["연차휴가는 15일이다.", LONG])
@pytest.mark.parametrize("flags", [0, 1], ids=["plain", "compressed"])
def test_heads_feet_and_hidden_comments_are_no_text(tmp_path: Path, flags: int, rest: str) -> None:
    section = (
        paragraph("제1조", "head", "foot", "tcmt", inside="쪽마다 서는 글")
        + paragraph("본문", "fn  ", inside="각주 글")
        + paragraph(rest)
    )
    path = write_hwp5(tmp_path / "a.hwp", section, flags=flags)
    assert shown(path) == ["제1조", "본문", "각주 글", rest]


def test_a_file_against_copying_is_said_and_not_read_as_the_advice_that_it_holds(tmp_path: Path) -> None:
    advice = paragraph("이 문서는 상위 버전의 배포용 문서입니다.")
    with pytest.raises(UserError, match="protected against copying"):
        read_file(write_hwp5(tmp_path / "a.hwp", advice, flags=5))
    with pytest.raises(UserError, match="protected with a password"):
        read_file(write_hwp5(tmp_path / "b.hwp", advice, flags=3))


@pytest.mark.parametrize("place", [30, 44, 48, 60, 68, 76, 512, 516, 1100, 1140, 2048])
def test_a_broken_file_costs_one_line_or_nothing(tmp_path: Path, place: int) -> None:
    path = write_hwp5(tmp_path / "a.hwp", paragraph("본문", "head", inside="머리말"))
    content = bytearray(path.read_bytes())
    content[place : place + 4] = (0x00000001).to_bytes(4, "little")
    path.write_bytes(content)
    try:
        said = read_file(path).pages[0].text
    except UserError as error:
        said = str(error)
    assert said.startswith((f"{path} cannot be read: ", "본문", "머리말")) or not said
    assert "stopped by it" not in said


def test_an_equation_stands_in_its_sentence(tmp_path: Path) -> None:
    path = write_hwp5(tmp_path / "a.hwp", paragraph("이 평균이다.", "eqed", inside="a over 2*3"))
    (text,) = shown(path)
    assert text.endswith("이 평균이다.")
    assert "frac{a}" in text
    assert "*3" in text
