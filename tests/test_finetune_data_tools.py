"""Conversations with tools and thoughts, in the spellings of published data, become one and the same row."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune.data.convert.fields import ConvertOptions, UnusableRecord
from finetune.data.convert.formats import recognise
from finetune.rows.row import Row

ASK, SAID, RESULT = "서울 날씨를 알려 주세요.", "서울은 맑습니다.", '{"sky": "맑음"}'
FUNCTION = {
    "name": "get_weather",
    "description": "날씨",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
TOOL = {"type": "function", "function": FUNCTION}
ARGUMENTS = {"city": "서울"}
CALL_JSON = json.dumps({"name": "get_weather", "arguments": ARGUMENTS}, ensure_ascii=False)
FUNCTION_JSON = json.dumps(FUNCTION, ensure_ascii=False)
OPENAI_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": json.dumps(ARGUMENTS, ensure_ascii=False)},
}
HERMES = "You are a function calling AI model. Function signatures stand within <tools></tools> XML tags."
SPELLINGS: dict[str, dict[str, Any]] = {
    "OpenAI": {
        "tools": [TOOL],
        "messages": [
            {"role": "user", "content": ASK},
            {"role": "assistant", "content": None, "tool_calls": [OPENAI_CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": RESULT},
            {"role": "assistant", "content": SAID},
        ],
    },
    "OpenAI before tools": {
        "functions": [FUNCTION],
        "messages": [
            {"role": "user", "content": ASK},
            {"role": "assistant", "content": None, "function_call": OPENAI_CALL["function"]},
            {"role": "function", "name": "get_weather", "content": RESULT},
            {"role": "assistant", "content": SAID},
        ],
    },
    "LLaMA-Factory's ShareGPT": {
        "tools": json.dumps([FUNCTION], ensure_ascii=False),
        "conversations": [
            {"from": "human", "value": ASK},
            {"from": "function_call", "value": CALL_JSON},
            {"from": "observation", "value": RESULT},
            {"from": "gpt", "value": SAID},
        ],
    },
    "Hermes": {
        "conversations": [
            {"from": "system", "value": f"{HERMES} <tools> [{json.dumps(TOOL)}] </tools> Use them."},
            {"from": "human", "value": ASK},
            {"from": "gpt", "value": f"<tool_call>\n{CALL_JSON}\n</tool_call>"},
            {"from": "tool", "value": f"<tool_response>\n{RESULT}\n</tool_response>"},
            {"from": "gpt", "value": SAID},
        ]
    },
    "Hermes, a tool a line": {
        "conversations": [
            {"from": "system", "value": f"{HERMES}\n<tools>\n{json.dumps(TOOL)}\n</tools>\nUse them."},
            {"from": "human", "value": ASK},
            {"from": "gpt", "value": f"<tool_call>\n{CALL_JSON.replace(chr(34), chr(39))}\n</tool_call>"},
            {"from": "tool", "value": f"<tool_response>\n{RESULT}\n</tool_response>"},
            {"from": "gpt", "value": SAID},
        ]
    },
    "Glaive": {
        "system": "SYSTEM: You are a helpful assistant with access to the following functions. Use them if "
        f"required -\n{json.dumps(FUNCTION, indent=4)}\n",
        "chat": f"USER: {ASK}\n\n\nASSISTANT: <functioncall> "
        '{"name": "get_weather", "arguments": \'{"city": "서울"}\'} <|endoftext|>\n\n\n'
        f"FUNCTION RESPONSE: {RESULT}\n\n\nASSISTANT: {SAID} <|endoftext|>\n\n\n",
    },
    "ChatML": {
        "tools": [TOOL],
        "text": f"<|im_start|>user\n{ASK}<|im_end|>\n<|im_start|>assistant\n"
        f"<tool_call>\n{CALL_JSON}\n</tool_call><|im_end|>\n<|im_start|>tool\n{RESULT}<|im_end|>\n<|im_start|>assistant\n{SAID}<|im_end|>\n",
    },
}


def rows_of(record: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    known = recognise([record], ConvertOptions(**options), Path("data.jsonl"))
    return [
        dict(row)
        for row in known.rows(record, ConvertOptions(**options))
        if not isinstance(row, UnusableRecord)
    ]


def function_of(tool: dict[str, Any]) -> dict[str, Any]:
    function: dict[str, Any] = tool["function"]
    return function


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_of_a_call_becomes_the_same_row(name: str) -> None:
    (row,) = rows_of(SPELLINGS[name])
    checked = Row.model_validate(row)
    assert (checked.instruction, checked.response, checked.history) == (ASK, SAID, ())
    assert [function_of(tool)["name"] for tool in checked.tools] == ["get_weather"]
    call, result = checked.steps
    assert [(one.name, one.arguments) for one in call.tool_calls] == [("get_weather", ARGUMENTS)]
    assert (call.role, call.content, result.role) == ("assistant", "", "tool")
    assert json.loads(result.content) == json.loads(RESULT)


def test_thoughts_are_found_in_fields_and_in_texts() -> None:
    turns = [{"role": "user", "content": ASK}]
    for answer in (
        {"role": "assistant", "content": SAID, "reasoning_content": "하늘을 본다."},
        {"role": "assistant", "content": SAID, "thinking": "하늘을 본다."},
        {"role": "assistant", "content": f"<think>\n하늘을 본다.\n</think>\n\n{SAID}"},
        {"role": "assistant", "content": f"하늘을 본다.\n</think>\n\n{SAID}"},  # where the prompt began it
    ):
        (row,) = rows_of({"messages": [*turns, answer]})
        assert (row["reasoning_content"], row["response"]) == ("하늘을 본다.", SAID)
    thought = f"<think>하늘을 본다.</think>{SAID}"
    for record in (
        {"instruction": ASK, "input": "", "output": thought},
        {"instruction": ASK, "context": "", "response": thought, "category": "open_qa"},
    ):
        (row,) = rows_of(record)
        assert (row["reasoning_content"], row["response"]) == ("하늘을 본다.", SAID)
    (row,) = rows_of({"instruction": ASK, "input": "", "output": "</think>는 끝을 뜻합니다."})
    assert (row.get("reasoning_content"), row["response"]) == (None, "</think>는 끝을 뜻합니다.")


def test_calls_side_by_side_text_before_a_call_and_a_call_at_the_end() -> None:
    call = {"from": "function_call", "value": CALL_JSON}
    seen = {"from": "observation", "value": RESULT}
    human, gpt = {"from": "human", "value": ASK}, {"from": "gpt", "value": SAID}
    (row,) = rows_of(
        {"conversations": [human, {"from": "gpt", "value": "찾아볼게요."}, call, call, seen, seen, gpt]}
    )
    first, *results = row["steps"]
    assert (first["content"], len(first["tool_calls"]), len(results)) == ("찾아볼게요.", 2, 2)
    (row,) = rows_of({"conversations": [human, gpt, human, call, seen]})
    assert row["response"] == ""
    assert row["tool_calls"] == [{"name": "get_weather", "arguments": ARGUMENTS}]
    assert Row.model_validate(row).history[1].content == SAID


@pytest.mark.parametrize(
    ("turns", "told"),
    [
        ([{"from": "function_call", "value": "날씨"}], "not valid JSON"),
        ([{"from": "function_call", "value": '{"name": "x", "arguments": "[1]"}'}], "not a JSON object"),
        ([{"from": "observation", "value": "1"}, {"from": "gpt", "value": "네."}], "message 2 is by tool"),
        (
            [
                {"from": "function_call", "value": CALL_JSON},
                {"from": "human", "value": ASK},
                {"from": "gpt", "value": "네."},
            ],
            "message 2 is a tool call without its result",
        ),
    ],
)
def test_what_is_no_conversation_with_tools_is_refused_with_the_reason(
    turns: list[dict[str, str]], told: str
) -> None:
    with pytest.raises(UnusableRecord, match=told):
        rows_of({"conversations": [{"from": "human", "value": ASK}, *turns]})


def test_a_pair_has_the_tools_of_its_prompt_and_no_calls_for_answers() -> None:
    prompt = SPELLINGS["OpenAI"]["messages"][:3]
    record = {
        "tools": [TOOL],
        "prompt": prompt,
        "chosen": [{"role": "assistant", "content": SAID}],
        "rejected": [{"role": "assistant", "content": "모릅니다."}],
    }
    (pair,) = rows_of(record, pairs=True)
    assert (pair["tools"], len(pair["steps"]), pair["chosen"]) == ([TOOL], 2, SAID)
    record["chosen"] = [SPELLINGS["OpenAI"]["messages"][1]]
    with pytest.raises(UnusableRecord, match="calls a tool or thinks"):
        rows_of(record, pairs=True)
