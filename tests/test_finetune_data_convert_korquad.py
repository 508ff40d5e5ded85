"""KorQuAD 1 and 2: answers are found where the data says, and long pages are cut around them."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from finetune.data.convert.fields import ConvertOptions
from finetune.data.convert.formats import BY_NAME
from finetune.data.convert.run import ConvertRequest, convert
from tests.support.convert_samples import (
    KORQUAD_1,
    KORQUAD_2,
    PAGE,
    PARAGRAPH,
    converted,
    page_question,
    rows_of,
    write_lines,
)
from tests.support.real_data import SAMPLES, real_data


def test_korquad_1_answers_are_found_where_meta_says_also_when_the_source_is_off(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, KORQUAD_1)
    assert [row["response"] for row in rows] == ["1989년", "월요일"]
    for row in rows:
        assert row["context"] == PARAGRAPH
        assert row["category"] == "closed_qa"
        assert row["context"][row["meta"]["answer_start"] :].startswith(row["response"])
    assert rows[0]["meta"]["title"] == "한밭도서관"


def test_a_korquad_answer_that_is_not_in_the_text_is_refused_and_its_sisters_stay(tmp_path: Path) -> None:
    record: Any = copy.deepcopy(KORQUAD_1)
    record["paragraphs"][0]["qas"][0]["answers"][0]["text"] = "2050년"
    rows, refusals, _ = converted(write_lines(tmp_path / "in.jsonl", record))
    assert [row["response"] for row in rows] == ["월요일"]
    assert "'2050년' is not in the context" in refusals[0]["reason"]


def test_korquad_files_are_read_from_their_data_array(tmp_path: Path) -> None:
    path = tmp_path / "KorQuAD_v1.0_dev.json"
    path.write_text(json.dumps({"version": "KorQuAD_v1.0_dev", "data": [KORQUAD_1, KORQUAD_1]}))
    rows, _, done = converted(path)
    assert len(rows) == 4
    assert done.files[0].licence == "CC-BY-ND-2.0-KR"
    assert rows[0]["meta"]["source"] == "KorQuAD 1.0"


def test_korquad_2_pages_become_text_in_which_the_answer_stands(tmp_path: Path) -> None:
    words, table = rows_of(tmp_path, KORQUAD_2)
    assert words["response"] == "산속 마을"
    assert table["response"] == "| 해 | 사람 |\n| 2001 | 120명 |"
    for row in (words, table):
        assert "<" not in row["context"]
        assert "color" not in row["context"]
        assert "- 봄에는 나물" in row["context"]
        assert row["context"][row["meta"]["answer_start"] :].startswith(row["response"])


def test_a_page_too_long_to_be_shown_is_cut_in_the_rejects_file(tmp_path: Path) -> None:
    record = long_page(1000, 1000)
    record["qas"].append({"id": "x", "question": "없는 것?", "answer": {"text": "없음", "answer_start": 0}})
    _, refusals, done = converted(write_lines(tmp_path / "in.jsonl", record))
    assert refusals[0]["line"] == 1
    assert refusals[0]["record"].startswith("{'title': '골짜기'")
    assert done.rejects is not None
    assert done.rejects.stat().st_size < 10_000


def long_page(before: int, after: int) -> dict[str, Any]:
    filler = "<p>골짜기를 따라 논과 밭이 이어지고 개울이 흐른다.</p>\n"
    page = (
        "<html><body>"
        + filler * before
        + "<p>우물은 <i>모두 일곱</i> 개다.</p>"
        + filler * after
        + "</body></html>"
    )
    answer = "<i>모두 일곱</i> 개"
    question = {
        "id": "w",
        "question": "우물은 몇인가?",
        "answer": {"text": answer, "answer_start": page.index(answer)},
    }
    return {"title": "골짜기", "context": page, "qas": [question]}


@settings(max_examples=25, deadline=None)
@given(before=st.integers(0, 120), after=st.integers(0, 120), window=st.integers(100, 900))
def test_the_window_around_a_korquad_2_answer_is_short_enough_and_holds_it(
    before: int, after: int, window: int
) -> None:
    (row,) = BY_NAME["korquad-2"].rows(long_page(before, after), ConvertOptions(window=window))
    assert isinstance(row, dict)
    assert row["response"] == "모두 일곱 개"
    assert len(row["context"]) <= window
    assert row["context"][row["meta"]["answer_start"] :].startswith("모두 일곱 개다.")


def test_an_answer_longer_than_the_window_stays_whole(tmp_path: Path) -> None:
    body = PAGE[PAGE.index("<body>") + 6 : PAGE.index("</body>")]
    record = KORQUAD_2 | {"qas": [page_question("all", "전부 보여라.", body)]}
    (row,) = rows_of(tmp_path, record, window=10)
    assert row["response"].startswith("감나무골")
    assert row["response"].endswith("가을에는 감")


def test_a_korquad_2_page_that_was_cut_before_its_answer_says_so(tmp_path: Path) -> None:
    path = real_data(f"{SAMPLES}/korquad_2.0_truncated.json")
    with pytest.raises(UserError, match="No row came out of .* is not in the context"):
        convert(ConvertRequest((path,), tmp_path / "rows.jsonl"))
