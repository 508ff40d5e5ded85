"""Other trainers' spellings become rows, and no field goes without a word."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from common.errors import UserError
from finetune.data.convert.run import ConvertRequest, convert
from kodolly.cli import root
from tests.support.convert_samples import converted, rows_of, write_lines

ASK, TELL = "귤은 언제 따나요?", "십일월에 땁니다."
USER, BOT = {"role": "user", "content": ASK}, {"role": "assistant", "content": TELL}
HUMAN, GPT = {"from": "human", "value": ASK}, {"from": "gpt", "value": TELL}


@pytest.mark.parametrize(
    "record",
    [
        {"conversations": [USER, BOT]},
        {"dialogue": [HUMAN, GPT]},
        {"prompt": [USER], "completion": [BOT]},
        {"prompt": ASK, "completion": TELL, "label": True},
        {"conversations": [ASK, TELL], "source": "lima"},
        {"data": [ASK, TELL]},
        {"conversation": [{"human": ASK, "assistant": TELL}]},
        {"messages": json.dumps([USER, BOT])},
        {"messages": str([USER, BOT])},
        {"질문": ASK, "답변": TELL},
        {"text": f"<|im_start|>user\n{ASK}<|im_end|>\n<|im_start|>assistant\n{TELL}<|im_end|>"},
        {"text": f"<s>[INST] {ASK} [/INST] {TELL} </s>"},
        {"text": f"### 질문: {ASK}\n\n### 답변: {TELL}"},
        {
            "input": {"messages": [USER]},
            "preferred_output": [BOT],
            "non_preferred_output": [BOT | {"content": "몰라"}],
        },
    ],
)
def test_a_question_and_its_answer_are_found_in_every_spelling(
    record: dict[str, Any], tmp_path: Path
) -> None:
    (row,) = rows_of(tmp_path, record)
    assert (row["instruction"], row["response"]) == (ASK, TELL)
    assert not row.get("history")


@pytest.mark.parametrize(
    "record",
    [
        {"instruction": ASK, "input": "", "output": TELL, "system": "짧게."},
        {"system": "짧게.", "conversations": [HUMAN, GPT]},
        {"system_prompt": "짧게.", "question": ASK, "response": TELL},
        {"messages": [{"role": "developer", "content": "짧게."}, USER, BOT]},
    ],
)
def test_a_system_prompt_stands_in_the_history(record: dict[str, Any], tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, record)
    assert row["history"] == [{"role": "system", "content": "짧게."}]


def test_alpaca_history_and_hh_prompts_become_turns(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "안녕?"}, {"role": "assistant", "content": "안녕하세요."}]
    record = {"instruction": ASK, "output": TELL, "history": [["안녕?", "안녕하세요."]]}
    assert rows_of(tmp_path, record)[0]["history"] == said
    prompt = f"\n\nHuman: 안녕?\n\nAssistant: 안녕하세요.\n\nHuman: {ASK}\n\nAssistant:"
    (pair,) = rows_of(tmp_path, {"prompt": prompt, "chosen": TELL, "rejected": "몰라"}, pairs=True)
    assert (pair["instruction"], pair["history"]) == (ASK, said)


def test_one_odd_record_changes_nothing_for_the_others(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [
        {"instruction": f"{n}번 글을 요약하라.", "input": f"{n}번 글이다.", "output": "짧다."}
        for n in range(9)
    ]
    records[3]["output"] = 7
    records[5]["input"] = ["둘", "셋"]
    rows, refusals, done = converted(write_lines(tmp_path / "in.jsonl", *records))
    assert done.files[0].format == "alpaca"
    assert all(row["context"] for row in rows)
    assert rows[3]["response"] == "7"
    assert [(one["line"], one["reason"]) for one in refusals] == [(6, "'input' is not text but an array")]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"prompt": ASK, "completion": "몰라", "label": False}, "bad one"),
        ({"prompt": ASK, "completion": "몰라", "label": 0.0}, "bad one"),
        ({"prompt": ASK, "completion": "몰라", "label": "Bad"}, "bad one"),
        ({"instruction": ASK, "output": "몰라", "kto_tag": "false"}, "bad one"),
        ({"instruction": ASK, "output": "몰라", "weight": 0}, "not to be learnt"),
        ({"messages": [USER, BOT | {"weight": 0}]}, "weight 0"),
        (
            {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}]},
            "tool call",
        ),
        ({"instruction": ASK, "output": TELL, "image": "귤.png"}, "needs an image"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}, BOT]}, "needs audio"),
    ],
)
def test_what_is_bad_or_needs_more_than_text_is_refused(
    record: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    good = {key: value for key, value in record.items() if key not in ("image", "label", "kto_tag", "weight")}
    good |= {"completion": TELL} if "completion" in good else {}
    good |= {"messages": [USER, BOT]} if "messages" in good else {}
    rows, refusals, _ = converted(write_lines(tmp_path / "in.jsonl", good, record, good))
    assert len(rows) == 2
    assert [one["line"] for one in refusals] == [2]
    assert reason in refusals[0]["reason"]


def test_verdicts_become_labels_for_kto_where_they_are_asked_for(tmp_path: Path) -> None:
    records = [
        {"messages": [USER, BOT], "label": True},
        {"messages": [USER, BOT | {"content": "몰라"}], "kto_tag": False},
        {"messages": [USER, BOT]},
    ]
    rows, refusals, _ = converted(write_lines(tmp_path / "in.jsonl", *records), labels=True)
    assert [(row["response"] == "몰라", row["meta"]["label"]) for row in rows] == [
        (False, True),
        (True, False),
    ]
    assert [(one["line"], "does not say whether" in one["reason"]) for one in refusals] == [(3, True)]


def test_a_tables_words_are_verdicts_too(tmp_path: Path) -> None:
    """A table holds texts alone: `False` there says what false says in JSON."""
    words = ("True", "false", "1", "0", "좋음")
    table = "instruction,output,label\n" + "".join(f"{ASK},{TELL},{word}\n" for word in words)
    (tmp_path / "in.csv").write_text(table, encoding="utf-8")
    rows, refusals, _ = converted(tmp_path / "in.csv", labels=True)
    assert [row["meta"]["label"] for row in rows] == [True, False, True, False]
    assert [one["line"] for one in refusals] == [6]
    rows, refusals, _ = converted(tmp_path / "in.csv")  # where a number may be the class of a text
    assert ([one["line"] for one in refusals], len(rows)) == ([3], 4)


def test_a_greeting_is_left_out_and_unused_fields_are_named(tmp_path: Path) -> None:
    greeted = {"conversations": [{"from": "gpt", "value": "어서 오세요."}, HUMAN, GPT], "별점": 3, "빈칸": ""}
    path = write_lines(tmp_path / "in.jsonl", greeted, {"conversations": [HUMAN, GPT | {"emotion": "기쁨"}]})
    done = CliRunner().invoke(root, ["data", "convert", str(path), str(tmp_path / "rows.jsonl")])
    assert done.exit_code == 0, done.output
    assert "left out 1 times: greeting before the first question" in done.output
    assert "별점 (1 records)" in done.output
    assert "conversations[].emotion (1 records)" in done.output
    assert "빈칸" not in done.output


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{'instruction':'가?','output':'나'}", "Python dict"),
        ('{"output":"\\ud83d"}', "half of a surrogate pair"),
    ],
)
def test_a_file_that_is_no_json_says_why(line: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(line + "\n")
    with pytest.raises(UserError, match=f"line 1: .*{words}"):
        convert(ConvertRequest((tmp_path / "in.jsonl",), tmp_path / "rows.jsonl"))


def test_conversations_that_are_bare_arrays_are_read(tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    for text in (f"[{[USER, BOT]}]", f"{[USER, BOT]}\n{[USER, BOT]}\n"):
        path.write_text(text.replace("'", '"'))
        assert converted(path)[0][0]["response"] == TELL


def test_answers_that_ask_back_are_a_warning(tmp_path: Path) -> None:
    records = [
        {"instruction": f"{n}일째 입맛이 없다", "output": f"{n}일이나요, 힘드셨겠어요. 무슨 일이 있으셨나요?"}
        for n in range(30)
    ]
    rows, _, done = converted(write_lines(tmp_path / "in.jsonl", *records))
    assert len(rows) == 30
    assert "of the answers ask" in done.files[0].warning


def test_an_array_of_records_on_one_line_is_no_conversation(tmp_path: Path) -> None:
    records = [{"instruction": ASK, "output": TELL}, {"instruction": "감은?", "output": "시월에 땁니다."}]
    for name in ("in.json", "in.jsonl"):
        (tmp_path / name).write_text(json.dumps(records))
        rows, _, done = converted(tmp_path / name)
        assert done.files[0].format == "alpaca"
        assert len(rows) == 2


def first_refusal(folder: Path, text: str) -> tuple[int, str]:
    """(line, reason) of the one refused record of a file of JSON lines."""
    (folder / "in.jsonl").write_text(text)
    done = convert(ConvertRequest((folder / "in.jsonl",), folder / "out.jsonl"))
    (refused,) = done.files[0].counts.reasons.values()
    return refused.line, refused.reason


GOOD_LINE = json.dumps({"instruction": ASK, "output": TELL}, ensure_ascii=False) + "\n"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            f'{{"instruction": "{ASK}", "output": "나쁜 답", "output": "{TELL}"}}',
            "the key 'output' stands twice",
        ),
        (
            f'{{"instruction": "{ASK}", "output" : "{TELL}", "meta": {{"a": 1, "b": [{{"c": 1, "c": 2}}]}}}}',
            "the key 'c' stands twice",
        ),
        (f'{{"instruction": "{ASK}", "output": NaN}}', "not JSON (NaN or Infinity is no value of it)"),
        ('{"instruction": "\\u200b", "output": "\\u200b"}', "the instruction is empty"),
        (f'{{"instruction": "{ASK}", "output": " \\u200b\\ufeff"}}', "the response is empty"),
    ],
)
def test_a_record_of_two_minds_or_without_words_is_refused_by_its_line(
    line: str, reason: str, tmp_path: Path
) -> None:
    place, said = first_refusal(tmp_path, GOOD_LINE + line + "\n" + GOOD_LINE)
    assert place == 2
    assert reason in said


def test_a_text_that_looks_like_keys_is_no_key_twice(tmp_path: Path) -> None:
    code = '{"a": 1, "a": 2}'
    (row,) = rows_of(tmp_path, {"instruction": ASK, "output": code})
    assert row["response"] == code


def test_a_column_that_stands_twice_is_told(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(f"질문,답변,답변\n{ASK},{TELL},다른 답\n")
    done = convert(ConvertRequest((tmp_path / "in.csv",), tmp_path / "out.jsonl"))
    assert json.loads((tmp_path / "out.jsonl").read_text())["response"] == TELL
    assert done.files[0].counts.unused == {"답변 (2)": 1}


def test_a_file_of_very_many_fields_names_some(tmp_path: Path) -> None:
    record = {"instruction": ASK, "output": TELL} | {f"k{place}": 1 for place in range(20_000)}
    (tmp_path / "in.jsonl").write_text(json.dumps(record))
    done = CliRunner().invoke(
        root, ["data", "convert", str(tmp_path / "in.jsonl"), str(tmp_path / "out.jsonl")]
    )
    assert done.exit_code == 0, done.output
    assert "k0 (1 records)" in done.output
    assert " and many more" in done.output
    assert "other fields" not in done.output


def test_columns_are_asked_for_only_where_there_are_texts(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(json.dumps({"data": {"conversations": [HUMAN, GPT]}}))
    with pytest.raises(UserError) as refused:
        convert(ConvertRequest((tmp_path / "in.jsonl",), tmp_path / "out.jsonl"))
    assert "--column" not in str(refused.value) + (refused.value.hint or "")


@pytest.mark.parametrize("weight", [0, 0.0, False, "0", "0.0", "false"])
def test_a_weight_of_nothing_is_one_in_every_spelling(weight: object, tmp_path: Path) -> None:
    bad = BOT | {"content": "글쎄요.", "weight": weight}
    (row,) = rows_of(tmp_path, {"messages": [USER, bad, USER, BOT]})
    assert row["history"][1] == {"role": "assistant", "content": "글쎄요.", "weight": 0}
    assert row["response"] == TELL


@pytest.mark.parametrize(
    ("record", "unused"),
    [
        ({"messages": [USER | {"name": "철수"}, BOT]}, "messages[].name"),
        ({"prompt": ASK, "completion": TELL, "label": "긍정"}, "label"),
        ({"instruction": ASK, "output": TELL, "label": 0}, "label"),
    ],
)
def test_what_says_something_else_is_told(record: dict[str, Any], unused: str, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(json.dumps(record))
    done = convert(ConvertRequest((tmp_path / "in.jsonl",), tmp_path / "out.jsonl"))
    assert done.files[0].counts.unused == {unused: 1}
