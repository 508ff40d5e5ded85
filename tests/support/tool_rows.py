"""Rows with what today's chats hold: tools, calls, results, reasoning."""

from typing import Any

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "도시의 날씨",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALL = {"name": "get_weather", "arguments": {"city": "서울", "days": 3}}


def tool_row(**more: Any) -> dict[str, Any]:
    """A question, one call with its result, and an answer; every answer has been thought about."""
    return {
        "instruction": "서울 날씨를 알려 주세요.",
        "context": "",
        "response": "서울은 맑고 21도입니다.",
        "category": "open_qa",
        "history": [
            {"role": "system", "content": "당신은 날씨를 알려 주는 비서입니다."},
            {"role": "user", "content": "안녕하세요?"},
            {"role": "assistant", "content": "네, 안녕하세요!"},
        ],
        "tools": [TOOL],
        "steps": [
            {
                "role": "assistant",
                "content": "",
                "reasoning_content": "날씨를 찾아보자.",
                "tool_calls": [CALL],
            },
            {"role": "tool", "content": "맑음, 21도"},
        ],
        "reasoning_content": "찾은 것을 전하자.",
        **more,
    }
