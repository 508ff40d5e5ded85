"""Rows with tools, calls, results and reasoning: read, written, checked, cleaned, and refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from common.errors import UserError
from finetune.data.clean.mending import mend_row
from finetune.data.clean.rules import rules
from finetune.data.clean.run import clean
from finetune.data.load import load_rows
from finetune.encoding.encode import encode_row
from finetune.rows.fast_row import UnusableLine, parse_row, write_row
from finetune.rows.row import Row, learnt_messages, to_messages
from tests.support.clean_rows import write
from tests.support.tool_rows import CALL, TOOL, tool_row


def parsed(**more: Any) -> Any:
    return parse_row(json.dumps(tool_row(**more), ensure_ascii=False).encode())


def test_a_row_with_tools_is_read_and_written_as_it_stands() -> None:
    row = parsed()
    assert json.loads(write_row(row)) == tool_row()
    assert "맑음, 21도" in row.texts()
    assert "찾은 것을 전하자." in row.texts()
    assert "서울" in row.texts()


def test_its_messages_are_openais_with_ids_that_results_share() -> None:
    row = Row.model_validate(tool_row())
    messages: list[Any] = list(to_messages(row))
    assert [message["role"] for message in messages] == [
        *("system", "user", "assistant", "user", "assistant", "tool", "assistant")
    ]
    call = messages[4]["tool_calls"][0]
    assert call["function"] == {"name": "get_weather", "arguments": {"city": "서울", "days": 3}}
    assert messages[5]["tool_call_id"] == call["id"]
    assert messages[5]["name"] == "get_weather"
    assert messages[6] == {
        "role": "assistant",
        "content": "서울은 맑고 21도입니다.",
        "reasoning_content": "찾은 것을 전하자.",
    }
    assert learnt_messages(row) == [2, 4, 6]


def test_results_find_their_calls_by_id_in_whatever_order_they_come() -> None:
    calls = [{**CALL, "id": "aaaaaaaa1"}, {**CALL, "id": "aaaaaaaa2"}]
    results = [
        {"role": "tool", "content": "2", "tool_call_id": "aaaaaaaa2"},
        {"role": "tool", "content": "1"},
    ]
    steps = [{"role": "assistant", "content": "", "tool_calls": calls}, *results]
    found = [m["tool_call_id"] for m in to_messages(Row.model_validate(tool_row(steps=steps)))[5:7]]
    assert found == ["aaaaaaaa2", "aaaaaaaa1"]


def test_a_row_may_end_with_a_call_and_a_step_of_weight_0_is_not_learnt() -> None:
    row = Row.model_validate(tool_row(response="", tool_calls=[CALL], steps=[], reasoning_content=""))
    assert to_messages(row)[-1]["content"] is None
    steps = tool_row()["steps"]
    unlearnt = Row.model_validate(tool_row(steps=[{**steps[0], "weight": 0}, steps[1]]))
    assert learnt_messages(unlearnt) == [2, 6]


STEP, RESULT = tool_row()["steps"]
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a result without a call": ({"steps": [RESULT]}, "the steps are not tool calls"),
    "a call without a result": ({"steps": [STEP]}, "the steps are not tool calls"),
    "more results than calls": ({"steps": [STEP, RESULT, RESULT]}, "the steps are not tool calls"),
    "an unknown tool": ({"tool_calls": [{"name": "send_mail"}]}, "'send_mail' is called and is not among"),
    "a tool without a name": ({"tools": [{"type": "function"}]}, "a tool is not of the form"),
    "a user who calls": (
        {
            "history": [
                {"role": "user", "content": "가", "tool_calls": [CALL]},
                {"role": "assistant", "content": "나"},
            ]
        },
        "a turn by user thinks or calls tools",
    ),
    "a tool that ends the history": (
        {"history": [{"role": "user", "content": "가"}, STEP, RESULT]},
        "the history is not pairs",
    ),
    "no answer and no call": ({"response": ""}, "the response is blank"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_a_conversation_is_refused(name: str) -> None:
    more, reason = WRONG[name]
    with pytest.raises(UnusableLine, match=reason):
        parsed(**more)


def test_cleaning_mends_reasoning_and_results_and_leaves_arguments(tmp_path: Path) -> None:
    result = {"role": "tool", "content": "전화 010-1234-5678\u200b"}
    row = parsed(reasoning_content="생각\u200b하자.", steps=[STEP, result])
    made = mend_row(row)
    assert row.reasoning_content == "생각하자."
    assert row.steps[1].content == "전화 [전화번호]"
    assert "personal_phone" in made.names
    assert row.steps[0].tool_calls[0].arguments == CALL["arguments"]
    other = tool_row(steps=[{**STEP, "tool_calls": [{**CALL, "arguments": {"city": "부산"}}]}, RESULT])
    source, output = write(tmp_path / "in.jsonl", tool_row(), other), tmp_path / "out.jsonl"
    clean([source], output, rules())
    kept = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert tool_row() in kept
    assert load_rows(output)[0].tools == (TOOL,)


@pytest.mark.parametrize(
    ("more", "told"),
    [({}, "tools"), ({"tools": [], "steps": []}, "reasoning")],
)
def test_built_in_templates_refuse_what_they_have_no_place_for(more: dict[str, Any], told: str) -> None:
    row = Row.model_validate(tool_row(**more))
    no_tokenizer: Any = None  # the row is refused before one is asked
    with pytest.raises(UserError, match=f"holds {told}, for which this chat template has no place"):
        encode_row(no_tokenizer, row)
