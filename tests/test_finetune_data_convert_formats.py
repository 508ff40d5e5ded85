"""Each published format becomes the Dolly rows (or preference pairs) it should, and nothing else does."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from finetune.data.convert.batch import FileTask, convert_batch
from finetune.data.convert.fields import ConvertOptions, Roles
from finetune.data.convert.formats import BY_NAME, FORMATS
from finetune.data.convert.run import ConvertRequest, convert
from finetune.data.convert.sources import RecordBatch
from finetune.data.load import load_rows
from finetune.rows.row import Pair, Row
from kodolly.commands.data_convert import FORMATS as NAMED
from tests.support.convert_samples import (
    ALPACA,
    DOLLY,
    GUANACO,
    MESSAGES,
    OASST,
    SAMPLES,
    SHAREGPT,
    converted,
    rows_of,
    write_lines,
)
from tests.support.real_data import real_data


@pytest.mark.parametrize("name", SAMPLES)
def test_each_format_is_recognised_and_gives_rows_that_training_reads(name: str, tmp_path: Path) -> None:
    _, refusals, done = converted(write_lines(tmp_path / "in.jsonl", SAMPLES[name]))
    assert done.files[0].format == name
    assert refusals == []
    assert load_rows(done.output)


@pytest.mark.parametrize("name", SAMPLES)
def test_strict_rows_have_the_four_keys_alone(name: str, tmp_path: Path) -> None:
    for row in rows_of(tmp_path, SAMPLES[name], strict=True):
        assert list(row) == ["instruction", "context", "response", "category"]
        Row.model_validate(row)


@pytest.mark.parametrize(
    "given_input",
    [
        "입력 없음",
        "<입력 없음>",
        "(입력 없음)",
        "NoInput",
        "<noinput>",
        "N/A",
        "n/a.",
        "없음",
        "해당 없음",
        " ",
        "",
    ],
)
def test_a_placeholder_input_is_no_context(given_input: str, tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, ALPACA | {"input": given_input})
    assert row["context"] == ""
    assert row["category"] == "open_qa"


def test_an_input_is_context_and_makes_a_closed_question_unless_the_source_says_more(tmp_path: Path) -> None:
    found = rows_of(tmp_path, ALPACA | {"input": "두부 반 모"}, ALPACA | {"input": None})
    assert [(row["context"], row["category"]) for row in found] == [
        ("두부 반 모", "closed_qa"),
        ("", "open_qa"),
    ]
    (row,) = rows_of(tmp_path, DOLLY)
    assert row | {"meta": None} == DOLLY | {"meta": None}


def test_koalpaca_1_1_keeps_its_url_beside_the_four_fields(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, SAMPLES["koalpaca-1.1"], source="KoAlpaca v1.1", licence="none")
    assert row["meta"] == {"source": "KoAlpaca v1.1", "licence": "none", "url": "https://kin.example/1"}


def test_the_human_asks_and_gpt_answers_in_sharegpt(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, SHAREGPT)
    assert row["instruction"] == "오월이야."
    assert row["response"].startswith("청보리와")
    assert [turn["role"] for turn in row["history"]] == ["user", "assistant"]
    assert row["meta"]["id"] == "대화-1"


def test_strict_sharegpt_gives_a_row_for_each_answer_with_what_was_said_as_context(tmp_path: Path) -> None:
    first, second = rows_of(tmp_path, SHAREGPT, strict=True)
    assert (first["instruction"], first["context"]) == ("제주도에 가려고 해.", "")
    assert second["context"].startswith("이전 질문: 제주도에 가려고 해.\n이전 답변: 언제")
    assert second["response"].startswith("청보리와")


def test_roles_as_published_makes_a_question_of_what_gpt_said(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, SHAREGPT, roles="as-published")
    assert row["instruction"].startswith("청보리와")
    assert row["response"] == "오월이야."


def test_a_conversation_that_gpt_begins_is_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    inverted = {"conversations": list(reversed(SHAREGPT["conversations"]))}
    rows, refusals, done = converted(write_lines(tmp_path / "in.jsonl", SHAREGPT, inverted, SHAREGPT))
    assert len(rows) == 2
    assert refusals[0]["line"] == 2
    assert "swapped" in refusals[0]["reason"]
    assert refusals[0]["record"] == inverted
    assert done.total.refused == 1


def swapped(conversation: dict[str, Any]) -> dict[str, Any]:
    other = {"human": "gpt", "gpt": "human"}
    turns = [turn | {"from": other[turn["from"]]} for turn in conversation["conversations"]]
    return {"conversations": turns}


def asking(place: int) -> dict[str, Any]:
    question = {"from": "human", "value": f"{place}번 버스는 어디로 가나요?"}
    answer = {
        "from": "gpt",
        "value": "시청을 지나 강변까지 갑니다. 배차 간격은 십 분이고 막차는 열한 시에 있습니다.",
    }
    return {"conversations": [question, answer]}


@pytest.mark.parametrize("cut_off_first", [True, False])
def test_a_file_whose_roles_are_swapped_is_refused_whole(cut_off_first: bool, tmp_path: Path) -> None:
    """Swapped as published, or so that the 'human' still comes first but says what gpt says."""
    records = [swapped(asking(place)) for place in range(30)]
    if not cut_off_first:
        for record in records:
            record["conversations"].reverse()
    path = write_lines(tmp_path / "in.jsonl", *records)
    with pytest.raises(UserError, match="look swapped"):
        convert(ConvertRequest((path,), tmp_path / "rows.jsonl"))
    assert list(tmp_path.iterdir()) == [path]


def test_swapped_rows_of_an_alpaca_style_file_are_refused_until_they_are_said_to_be_right(
    tmp_path: Path,
) -> None:
    records = [
        {"instruction": f"{place}번째 정류장은 시청 앞입니다.", "output": f"{place}번째 정류장은 어디인가요?"}
        for place in range(30)
    ]
    path = write_lines(tmp_path / "in.jsonl", *records)
    with pytest.raises(UserError, match=r"look swapped: 100% of the answers ask"):
        convert(ConvertRequest((path,), tmp_path / "rows.jsonl"))
    assert len(rows_of(tmp_path, *records, roles="human-asks")) == 30
    turned = [{"instruction": record["output"], "output": record["instruction"]} for record in records]
    assert len(rows_of(tmp_path, *turned)) == 30


def test_an_unanswered_last_question_is_left_out(tmp_path: Path) -> None:
    asked_on = {"conversations": [*SHAREGPT["conversations"], {"from": "human", "value": "고마워"}]}
    (row,) = rows_of(tmp_path, asked_on)
    assert row["response"].startswith("청보리와")


def test_a_system_message_stands_first_in_the_history(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, MESSAGES)
    assert row["history"] == [{"role": "system", "content": "존댓말로 답한다."}]
    (strict,) = rows_of(tmp_path, MESSAGES, strict=True)
    assert strict["context"] == "지침: 존댓말로 답한다."


def test_guanaco_text_is_cut_at_its_marks(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, GUANACO)
    assert (row["instruction"], row["response"]) == ("호수는요?", "대개 흘러 나가므로 짜지 않습니다.")
    assert row["history"][0]["content"] == "바다는 왜 짠가요?"


def test_oasst_takes_the_best_ranked_path_and_no_deleted_reply(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, OASST)
    assert row["response"].startswith("보온병에")
    assert row["meta"]["lang"] == "ko"


def test_flat_oasst_messages_are_put_together_by_tree(tmp_path: Path) -> None:
    tree = {"message_tree_id": "t1"}
    flat = [
        tree | {"message_id": "m1", "parent_id": None, "text": "안녕?", "role": "prompter"},
        tree | {"message_id": "m2", "parent_id": "m1", "text": "반갑습니다.", "role": "assistant", "rank": 1},
        tree
        | {"message_id": "m3", "parent_id": "m1", "text": "어서 오세요.", "role": "assistant", "rank": 0},
        {
            **tree,
            "message_tree_id": "t2",
            "message_id": "n1",
            "parent_id": None,
            "text": "뭐 해?",
            "role": "prompter",
        },
        {
            **tree,
            "message_tree_id": "t2",
            "message_id": "n2",
            "parent_id": "n1",
            "text": "일합니다.",
            "role": "assistant",
        },
    ]
    assert [row["response"] for row in rows_of(tmp_path, *flat)] == ["어서 오세요.", "일합니다."]
    (pair,) = rows_of(tmp_path, *flat, pairs=True)
    assert (pair["chosen"], pair["rejected"]) == ("어서 오세요.", "반갑습니다.")


def test_columns_can_be_named_and_the_usual_ones_need_not_be(tmp_path: Path) -> None:
    record = {
        "문의": "환불은 며칠 걸리나요?",
        "안내": "사흘 안에 돌려드립니다.",
        "지문": "약관 3조",
        "번호": 7,
    }
    columns = (("instruction", "문의"), ("response", "안내"), ("meta.id", "번호"))
    (row,) = rows_of(tmp_path, record, columns=columns)
    assert row["context"] == "약관 3조"
    assert row["category"] == "closed_qa"
    assert row["meta"]["id"] == 7
    renamed = {"질": "환불은?", "좋음": "사흘 걸립니다.", "나쁨": "글쎄요."}
    named = (("instruction", "질"), ("chosen", "좋음"), ("rejected", "나쁨"))
    (pair,) = rows_of(tmp_path, renamed, columns=named, pairs=True)
    assert (pair["chosen"], pair["rejected"]) == ("사흘 걸립니다.", "글쎄요.")


def test_a_context_that_only_later_rows_have_is_kept(tmp_path: Path) -> None:
    records = [
        {"question": "몇 시?", "answer": 7},
        {"question": "몇 층?", "answer": "3", "context": "교실은 3층"},
    ]
    found = rows_of(tmp_path, *records)
    assert [(row["response"], row["context"]) for row in found] == [("7", ""), ("3", "교실은 3층")]


def test_the_help_names_every_format() -> None:
    assert {known.name for known in FORMATS} == set(re.split(", | or ", NAMED))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ((("instruction", "없는 열"),), "has no column '없는 열'; it has 문의, 안내"),
        ((("frage", "문의"),), "A row has no field 'frage'"),
        ((("instruction", "문의"),), "which column is the response"),
    ],
)
def test_a_wrong_column_map_names_the_columns_that_are_there(
    columns: tuple[tuple[str, str], ...], words: str, tmp_path: Path
) -> None:
    path = write_lines(tmp_path / "in.jsonl", {"문의": "환불은?", "안내": "사흘 걸립니다."})
    with pytest.raises(UserError, match=words):
        convert(ConvertRequest((path,), tmp_path / "rows.jsonl", columns=columns))


def test_an_unknown_or_wrongly_named_format_says_what_the_file_holds(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "in.jsonl", {"제목": "가", "본문": "나"})
    with pytest.raises(UserError, match="none of the known formats. Its records hold the fields 제목, 본문"):
        convert(ConvertRequest((path,), tmp_path / "rows.jsonl"))
    path = write_lines(tmp_path / "in.jsonl", ALPACA)
    with pytest.raises(UserError, match="is not korquad-1"):
        convert(ConvertRequest((path,), tmp_path / "rows.jsonl", format="korquad-1"))
    with pytest.raises(UserError, match="There is no format 'korquad'. It is one of"):
        convert(ConvertRequest((path,), tmp_path / "rows.jsonl", format="korquad"))


def test_meta_names_source_and_licence_of_published_files_and_can_be_told(tmp_path: Path) -> None:
    rows, _, _ = converted(write_lines(tmp_path / "ko_alpaca_data.json", ALPACA))
    assert rows[0]["meta"] == {"source": "KoAlpaca v1.0", "licence": "CC-BY-NC-4.0"}
    (row,) = rows_of(tmp_path, ALPACA, source="우리 회사", licence="CC0-1.0")
    assert row["meta"] == {"source": "우리 회사", "licence": "CC0-1.0"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9**20) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def spoil(node: Any, draw: Any) -> Any:
    """`node` with one of its parts, at any depth, put in another's place or taken out."""
    if not isinstance(node, dict | list) or not node or draw(st.integers(0, 3)) == 0:
        return draw(JSON)
    key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
    if draw(st.integers(0, 5)) == 0:
        del node[key]
    else:
        node[key] = spoil(node[key], draw)
    return node


@settings(max_examples=200, deadline=None)
@given(
    data=st.data(),
    pairs=st.booleans(),
    labels=st.booleans(),
    roles=st.sampled_from(["checked", "as-published"]),
)
def test_a_record_with_anything_in_it_is_a_valid_row_or_a_reason(
    data: st.DataObject, pairs: bool, labels: bool, roles: Roles
) -> None:
    name = data.draw(st.sampled_from(sorted(SAMPLES)))
    record = spoil(copy.deepcopy(SAMPLES[name]), data.draw)
    columns = {"instruction": "Q", "response": "A", "chosen": "Q", "rejected": "A", "context": "label"}
    pairs = pairs and BY_NAME[name].pairs
    options = ConvertOptions(pairs, labels and not pairs, roles, columns if name == "table" else {})
    line = json.dumps(record, ensure_ascii=False).encode(errors="surrogatepass")
    made = convert_batch(RecordBatch(line, 1, 1.0), FileTask("in", name, "utf-8", options))
    for row in made.rows.splitlines():
        (Pair if pairs else Row).model_validate_json(row)
    assert made.counts.rows + made.counts.refused > 0 or name.startswith(("korquad", "oasst"))
    assert (
        made.counts.refused
        == len(made.refused.splitlines())
        == sum(r.count for r in made.counts.reasons.values())
    )


@pytest.mark.parametrize(
    ("name", "form", "records"),
    [
        ("koalpaca_v1.0_8000.json", "alpaca", 8000),
        ("chatbot_data_9800.csv", "table", 9823),
        ("sharegpt_fastchat_dummy.json", "sharegpt", None),
        ("seed_samples/koalpaca_v1.0.json", "alpaca", 1),
        ("seed_samples/koalpaca_v1.1.jsonl", "koalpaca-1.1", None),
        ("seed_samples/korquad_1.0.json", "korquad-1", 1),
        ("seed_samples/openassistant_guanaco_ko.jsonl", "guanaco", 2),
        ("seed_samples/kovicuna_sharegpt_deepl_ko.json", "sharegpt", 1),
    ],
)
def test_real_files_convert_without_loss(name: str, form: str, records: int | None, tmp_path: Path) -> None:
    done = convert(ConvertRequest((real_data(name),), tmp_path / "rows.jsonl"))
    assert done.files[0].format == form
    assert done.total.records == (records or done.total.records)
    assert done.total.refused == 0
    rows = load_rows(done.output)
    assert len(rows) == done.total.rows >= done.total.records
    assert not any(row.context in ("입력 없음", "<noinput>", "N/A") for row in rows)
