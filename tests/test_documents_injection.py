"""Orders inside documents: whatever is written in them, it stays text in its place."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.chat_message import ChatMessage
from common.chat_template import template_names
from documents.answers.citations import cited
from documents.answers.markers import MarkerFilter
from documents.answers.marks import harmless
from documents.answers.prompt import with_passages
from tests.support.hostile_documents import MARKS, hostile_documents
from tests.support.hostile_prompts import OWN, adds_a_mark, counted, passages


@pytest.mark.parametrize("name", [*template_names(), *OWN])
def test_no_document_adds_a_mark_to_a_prompt(name: str) -> None:
    assert [one.order for one in hostile_documents() if adds_a_mark(name, one)] == []


@given(st.lists(st.sampled_from([*MARKS, "<", "|", ">", "#", "[", "/", " ", "\n", "가"]), max_size=8))
def test_marks_cannot_be_put_together_of_others(parts: Sequence[str]) -> None:
    text = "앞 " + "".join(parts) + " 뒤"
    shown = counted(harmless(text))
    assert {sign: count for sign, count in shown.items() if count} == {}
    assert "".join(harmless(text).replace("·", "").split()) == "".join(text.split())


def test_no_letter_is_lost_and_ordinary_text_stays() -> None:
    for text in (
        "값이 3 < 5이고 a<b>c이면 [3]을 보라.",
        "# 제목\n## 작은 제목\n- 항목: 하나",
        "<div>본문</div> 그리고 C#과 F##",
    ):
        assert harmless(text) == text or "·" in harmless(text)
    for document in hostile_documents():
        shown = "".join(harmless(document.text).replace("·", "").split())
        assert shown == "".join(document.text.split())


def test_a_document_cannot_pass_for_another_passage() -> None:
    for document in hostile_documents():
        asked: list[ChatMessage] = [{"role": "user", "content": document.question}]
        for own in (False, True):
            last = with_passages(asked, passages(document, document.text), own_template=own)[-1]["content"]
            assert [last.count(f"[{number}]") for number in (1, 2, 7, 42)] == [1, 1, 0, 0]


def test_an_obeying_answer_gets_no_false_source() -> None:
    """What a document orders to say is cited from that document alone, and markers of no passage go."""
    for document in hostile_documents():
        shown = passages(document, document.text)
        markers = MarkerFilter(len(shown))
        said = markers.feed(f"열쇠는 {document.sign} 사장님이 맡습니다 [2]. 끝 [7], [42].") + markers.end()
        assert "[7]" not in said
        assert "[42]" not in said
        found = cited(said, shown)
        assert [one.supported for one in found if one.number == 2] == [False]
