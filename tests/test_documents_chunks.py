"""A document is cut into chunks that lose nothing and say where they stand."""

import unicodedata

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from documents.chunks import LONGEST_HEADING, chunks_of
from documents.document import BLOCK_GAP, Block, BlockKind, Document, Joint, Page


def page(number: int | None, *blocks: tuple[BlockKind, str], goes_on: Joint | None = None) -> Page:
    """A page of these blocks; a heading's level is the number of `#` that it begins with, at least 1."""
    text, made = "", []
    for at, (kind, part) in enumerate(blocks):
        level = 0 if kind != "heading" else max(1, len(part) - len(part.lstrip("#")))
        start = len(text) + (len(BLOCK_GAP) if text else 0)
        text += (BLOCK_GAP if text else "") + part
        made.append(Block(kind, start, len(text), level, goes_on if at == 0 else None))
    return Page(number, text, tuple(made))


def document(*pages: Page) -> Document:
    return Document("a.pdf", "pdf", "0", "a", pages)


def test_a_heading_begins_a_chunk_that_knows_what_stands_above() -> None:
    made = chunks_of(
        document(
            page(
                1,
                ("heading", "제1장 휴가"),
                ("heading", "##제1조 연차"),
                ("paragraph", "연차휴가는 15일이다."),
                ("heading", "##제2조 경조"),
                ("paragraph", "경조휴가는 5일이다."),
            )
        )
    )
    assert [(chunk.text, chunk.headings) for chunk in made] == [
        ("제1장 휴가\n\n##제1조 연차\n\n연차휴가는 15일이다.", ()),
        ("##제2조 경조\n\n경조휴가는 5일이다.", ("제1장 휴가",)),
    ]


def test_a_paragraph_over_two_pages_is_one_text_with_two_spans() -> None:
    (made,) = chunks_of(
        document(page(1, ("paragraph", "직원은 휴가를")), page(2, ("paragraph", "쓴다."), goes_on=" "))
    )
    assert made.text == "직원은 휴가를 쓴다."
    assert [(span.page, span.start, span.end) for span in made.spans] == [(1, 0, 7), (2, 0, 3)]
    assert made.pages == (1, 2)


def test_a_long_paragraph_is_cut_after_sentences_then_words() -> None:
    text = "직원은 3.5일을 쉰다. 다만 예외가 있다! 세 번째이다."
    made = chunks_of(document(page(None, ("paragraph", text))), 17)
    assert [chunk.text for chunk in made] == ["직원은 3.5일을 쉰다.", "다만 예외가 있다!", "세 번째이다."]
    made = chunks_of(document(page(None, ("paragraph", "하나둘 셋넷다섯 여섯"))), 8)
    assert [chunk.text for chunk in made] == ["하나둘 셋넷다섯", "여섯"]


def test_a_long_table_is_cut_between_rows_and_keeps_its_head() -> None:
    text = "| 근속 | 일수 |\n| --- | --- |\n| 1년 | 15일 |\n| 2년 | 16일 |"
    made = chunks_of(document(page(1, ("table", text))), 45)
    assert [chunk.text for chunk in made] == [
        "| 근속 | 일수 |\n| --- | --- |\n| 1년 | 15일 |",
        "| 2년 | 16일 |",
    ]
    assert made[1].headings == ("| 근속 | 일수 |",)


def test_length_may_be_measured_in_tokens() -> None:
    text = "가나 다라 마바 사아"
    made = chunks_of(document(page(None, ("paragraph", text))), 2, lambda text: len(text.split()))
    assert [chunk.text for chunk in made] == ["가나 다라", "마바 사아"]


def test_a_size_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        chunks_of(document(page(1, ("paragraph", "가"))), 0)


TEXT = st.lists(
    st.sampled_from([*"가나다 .!?\n", "\u1100\u1161\u11a8", "e\u0301", "👨‍👩‍👧", "🇰🇷", "x" * 30]), min_size=1
).map(lambda parts: unicodedata.normalize("NFC", "".join(parts)).strip())
BLOCKS = st.lists(
    st.tuples(st.sampled_from(["heading", "paragraph", "table", "code"]), TEXT.filter(bool)), max_size=6
)


@settings(max_examples=50, deadline=None)
@given(st.lists(BLOCKS, max_size=3), st.integers(1, 60))
def test_chunks_hold_everything_once_within_the_size_and_cut_no_grapheme(
    pages: list[list[tuple[BlockKind, str]]], size: int
) -> None:
    source = document(*(page(number, *blocks) for number, blocks in enumerate(pages, 1)))
    texts = {one.number: one.text for one in source.pages}
    covered = dict.fromkeys(texts, "")
    for chunk in chunks_of(source, size):
        parts = [texts[span.page][span.start : span.end] for span in chunk.spans]
        assert "".join("".join(parts).split()) == "".join(chunk.text.split())
        assert len(chunk.text) <= size or len(regex.findall(r"\X", chunk.text)) == 1
        for span in chunk.spans:
            covered[span.page] += texts[span.page][span.start : span.end]
            borders = {0, *(found.end() for found in regex.finditer(r"\X", texts[span.page]))}
            assert {span.start, span.end} <= borders
    for number, text in texts.items():
        assert "".join(covered[number].split()) == "".join(text.split())


def test_a_character_without_an_end_is_cut() -> None:
    endless = "\u1100" * 50_000
    made = chunks_of(document(page(None, ("paragraph", f"앞 {endless}"))), 100)
    assert max(len(chunk.text) for chunk in made) <= 1000
    assert sum(chunk.text.count("\u1100") for chunk in made) == len(endless)


def test_a_long_heading_is_not_repeated_with_all_that_stands_below_it() -> None:
    long = "제목 " * 1000
    table = "\n".join(["| 머리 " * 1000, "| --- |", *(f"| {row} |" for row in range(500))])
    sections: list[tuple[BlockKind, str]] = [("heading", f"##제{number}조") for number in range(500)]
    made = chunks_of(document(page(None, ("heading", long), ("table", table), *sections)), 100)
    assert len(made) > 50
    assert max(len(heading) for chunk in made for heading in chunk.headings) <= LONGEST_HEADING
    assert made[-1].headings[0].startswith("제목 제목")
