"""Whole answers made into the streams that they would have come in."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.client.routes import Dialect
from server.inference.unstreamed import events_of
from tests.support.conformance.wire import Event, parse_events

CALL = {"id": "c1", "type": "function", "function": {"name": "날씨", "arguments": '{"city": "서울"}'}}
CHAT = {"id": "a", "object": "chat.completion", "created": 1, "model": "m", "system_fingerprint": "f"}


def events(answer: dict[str, Any], dialect: Dialect) -> list[Event]:
    return parse_events(events_of(json.dumps(answer).encode(), dialect))


def test_every_choice_of_a_chat_comes_in_one_chunk_and_the_counts_come_last() -> None:
    message = {"role": "assistant", "content": None, "reasoning": "음", "tool_calls": [CALL, CALL]}
    choices = [
        {"index": 0, "message": message, "finish_reason": "tool_calls", "logprobs": None},
        {"index": 1, "message": {"role": "assistant", "content": "맑음"}, "finish_reason": "stop"},
    ]
    *chunks, done = events(CHAT | {"choices": choices, "usage": {"prompt_tokens": 3}}, "openai")
    assert done.data == "[DONE]"
    first, second, counts = (chunk.json() for chunk in chunks)
    assert {chunk["object"] for chunk in (first, second, counts)} == {"chat.completion.chunk"}
    (choice,) = first["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["delta"] == message | {"tool_calls": [{"index": 0} | CALL, {"index": 1} | CALL]}
    assert second["choices"][0]["delta"]["content"] == "맑음"
    assert (counts["choices"], counts["usage"]) == ([], {"prompt_tokens": 3})


def test_a_message_starts_empty_and_grows_to_what_it_is() -> None:
    blocks = [
        {"type": "thinking", "thinking": "음", "signature": "s"},
        {"type": "text", "text": "맑음"},
        {"type": "tool_use", "id": "t", "name": "날씨", "input": {"city": "서울"}},
    ]
    answer = {"type": "message", "content": blocks, "stop_reason": "tool_use", "usage": {"output_tokens": 4}}
    told = [event.json() for event in events(answer, "anthropic")]
    assert told[0]["message"]["content"] == []
    assert [event["content_block"] for event in told if event["type"] == "content_block_start"] == [
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "text", "text": ""},
        {"type": "tool_use", "id": "t", "name": "날씨", "input": {}},
    ]
    deltas = [event["delta"] for event in told if event["type"] == "content_block_delta"]
    assert [delta["type"] for delta in deltas] == [
        "thinking_delta",
        "signature_delta",
        "text_delta",
        "input_json_delta",
    ]
    assert json.loads(deltas[-1]["partial_json"]) == {"city": "서울"}
    assert (told[-2]["delta"]["stop_reason"], told[-1]["type"]) == ("tool_use", "message_stop")


@pytest.mark.parametrize("status", ["completed", "incomplete", "failed"])
def test_a_response_brings_each_item_and_ends_in_its_status(status: str) -> None:
    texts = [
        {"type": "output_text", "text": "맑음", "annotations": []},
        {"type": "refusal", "refusal": "싫어요"},
    ]
    output = [
        {"type": "reasoning", "id": "r", "summary": []},
        {"type": "message", "id": "m", "role": "assistant", "content": texts, "status": status},
        {"type": "function_call", "id": "f", "call_id": "c", "name": "날씨", "arguments": "{}"},
    ]
    answer = {"object": "response", "id": "resp", "status": status, "output": output, "usage": {}}
    told = [event.json() for event in events(answer, "responses")]
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert told[0]["response"]["output"] == []
    assert [event["item"] for event in told if event["type"] == "response.output_item.done"] == output
    deltas = {event["type"]: event["delta"] for event in told if event["type"].endswith(".delta")}
    assert deltas == {
        "response.output_text.delta": "맑음",
        "response.refusal.delta": "싫어요",
        "response.function_call_arguments.delta": "{}",
    }
    assert (told[-1]["type"], told[-1]["response"]) == (f"response.{status}", answer)


NAMES = st.sampled_from(["choices", "message", "usage", "content", "output", "status", "type", "object"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
)


@given(
    JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=20),
    st.sampled_from(get_args(Dialect)),
)
def test_what_is_no_answer_is_no_stream(body: bytes, dialect: Dialect) -> None:
    assert isinstance(events_of(body, dialect), bytes)


@pytest.mark.parametrize("status", ["queued", "in_progress", 7, None])
def test_a_response_that_is_not_over_is_no_stream(status: Any) -> None:
    answer = {"object": "response", "status": status, "output": []}
    assert events_of(json.dumps(answer).encode(), "responses") == b""
