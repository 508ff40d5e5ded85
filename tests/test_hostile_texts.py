"""Texts that were made to take long are read in a time that grows with their length
alone: in one that grows with its square, these tests would not end."""

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.feedback import Message
from common.normal_form import is_nfc, nfc, nfkc
from common.prompt_hash import prompt_hash
from documents.answers.citations import cited
from documents.answers.marks import harmless
from documents.answers.passage import Passage
from documents.read.clean_text import clean_line
from finetune.rows.characters import mend_text
from moderation.features import normalised, runs_of
from tests.support.product import PARTS
from webui.files.reading import Unfit, read_file

ROOT = Path(__file__).parents[1]
MARKS = "a" + "\u0301\u0323" * 50_000
MANY_MARKS = st.lists(
    st.sampled_from(["a", "가", "\u1100", "\u1161", "\uff76", "\uff9e", "\u0344", "\u0f81"])
    | st.builds(
        lambda marks, times: marks * times,
        st.text("\u0301\u0323\u3099\u0345\u05b0\u0903"),
        st.integers(1, 40),
    ),
    max_size=8,
).map("".join)


@settings(deadline=None)
@given(MANY_MARKS)
def test_normal_forms_are_those_of_unicode(text: str) -> None:
    assert nfc(text) == unicodedata.normalize("NFC", text)
    assert nfkc(text) == unicodedata.normalize("NFKC", text)
    assert is_nfc(text) == unicodedata.is_normalized("NFC", text)


def test_nothing_else_makes_normal_forms() -> None:
    found = [
        path.relative_to(ROOT).as_posix()
        for part in PARTS
        for path in (ROOT / part).rglob("*.py")
        if re.search(r"\b(is_normalized|normalize)\(['\"]", path.read_text())
    ]
    assert found == ["common/normal_form.py"]


def test_marks_without_end_are_composed() -> None:
    assert nfc(MARKS) == "\u1ea1" + "\u0323" * 49_999 + "\u0301" * 50_000
    assert nfkc("\uff76" + "\uff9e\u0301" * 50_000) == "\u30ac" + "\u3099" * 49_999 + "\u0301" * 50_000
    assert not is_nfc(MARKS)
    assert mend_text(MARKS) == (nfc(MARKS), {"nfc"})
    assert clean_line(MARKS) == (nfc(MARKS), 0)
    asked, same = [Message(role="user", content=text) for text in (MARKS, nfc(MARKS))]
    assert prompt_hash([asked]) == prompt_hash([same])


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("가나" * 500_000, "가나" * 500_000),
        ("a@" * 500_000, "a\x01@"),
        ("a." * 500_000, "a." * 500_000),
        ("a@b.kr 로 보내", "\x01 로 보내"),
        ("#@이름#님,a@b.kr-c@d.kr x@y", "\x01님,\x01 x\x01"),
    ],
)
def test_a_moderation_model_reads_a_word_without_end(text: str, seen: str) -> None:
    """Several hidden things side by side may be one: no run crosses them."""
    assert re.sub("\x01+", "\x01", normalised(text)) == seen
    assert runs_of([text]).sentences == 1


@pytest.mark.parametrize("text", ["<!-- -->" * 10_000, " " * 90_000, "<!--" * 20_000, "<?xml " * 10_000])
def test_a_text_that_almost_begins_as_an_svg_is_a_text(text: str) -> None:
    assert read_file("x.txt", f"{text}x".encode()).kind == "text"
    closed = text.replace("<!--", "").replace("-->", "").replace("<?xml", "")
    with pytest.raises(Unfit, match="file_svg"):
        read_file("x.txt", f"{closed}<svg>".encode())


def test_an_answer_of_dots_without_end_is_cited() -> None:
    """As models write them that have lost their way."""
    passage = Passage("f", "규정.txt", "연차는 15일이다.", (), (), 1.0)
    told = "연차는 15일이다 [1]."
    (citation,) = cited(f"{'.' * 100_000}x\n{told}", [passage])
    assert (citation.end - citation.start, citation.supported) == (len(told), True)


def test_empty_lines_without_end_hide_no_mark() -> None:
    assert harmless("\n" * 300_000 + "## Input") == "\n" * 300_000 + "· ## Input"
