"""W6-W11: choices, prompts, tools, logprobs, structured outputs and what else an engine adds to its answer.

Source: OpenAI's API reference (https://platform.openai.com/docs/api-reference), vLLM's for what it adds.
"""

import json
from typing import Any

import openai
import pytest

from tests.support.conformance.endpoint import QUESTION, Endpoint, error_of

CITY = {"type": "string", "enum": ["서울", "부산"]}
SCHEMA = {"type": "object", "properties": {"city": CITY}, "required": ["city"], "additionalProperties": False}


def tool(name: str) -> dict[str, Any]:
    """A function that takes a city."""
    return {"type": "function", "function": {"name": name, "description": "날씨", "parameters": SCHEMA}}


def by_index(chunks: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """The choices of a stream's chunks, per index."""
    found: dict[int, list[dict[str, Any]]] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            found.setdefault(choice["index"], []).append(choice)
    return found


# W6


@pytest.mark.parametrize("stream", [False, True])
def test_w06_several_choices_have_their_own_index_and_end(endpoint: Endpoint, stream: bool) -> None:
    """W6: `n` choices, each with its index and exactly one finish reason, and usage summed over them."""
    endpoint.need("choices")
    body = endpoint.chat(n=3, temperature=1, seed=7)
    if stream:
        options = {"include_usage": True}
        chunks = endpoint.stream("/v1/chat/completions", body | {"stream": True, "stream_options": options})
        choices = by_index(chunks.chunks())
        usage = chunks.chunks()[-1]["usage"]
        ends = {index: [c.get("finish_reason") for c in parts] for index, parts in choices.items()}
    else:
        answer = endpoint.send("/v1/chat/completions", body).json()
        usage = answer["usage"]
        ends = {choice["index"]: [choice["finish_reason"]] for choice in answer["choices"]}
    assert sorted(ends) == [0, 1, 2]
    for reasons in ends.values():
        assert len([reason for reason in reasons if reason]) == 1
        assert reasons[-1]
    full = sum(reasons[-1] == "length" for reasons in ends.values())  # a choice may end by itself before
    assert 6 * full + (3 - full) <= usage["completion_tokens"] <= 3 * 6


def test_w06_choices_say_the_same_streamed_and_plain(endpoint: Endpoint) -> None:
    """W6: the parts of each index put together are that choice of the plain answer."""
    endpoint.need("choices")
    body = endpoint.chat(n=2, temperature=1, seed=7)
    plain = endpoint.send("/v1/chat/completions", body).json()["choices"]
    streamed = by_index(endpoint.stream("/v1/chat/completions", body | {"stream": True}).chunks())
    for choice in plain:
        text = "".join(part["delta"].get("content") or "" for part in streamed[choice["index"]])
        assert text == choice["message"]["content"]


# W7


def test_w07_echo_repeats_the_prompt(endpoint: Endpoint) -> None:
    """W7: `echo` puts the prompt before the completion, in both modes."""
    endpoint.need("echo")
    body = endpoint.completion(echo=True)
    plain = endpoint.send("/v1/completions", body).json()["choices"][0]["text"]
    chunks = endpoint.stream("/v1/completions", body | {"stream": True}).chunks()
    assert plain.startswith("봄에는")
    assert "".join(chunk["choices"][0].get("text") or "" for chunk in chunks) == plain


def test_w07_a_list_of_prompts_gets_a_choice_each(endpoint: Endpoint) -> None:
    """W7: several prompts, one choice each in their order, streamed with their index."""
    body = endpoint.completion(prompt=["봄에는", "가을에는"])
    plain = endpoint.send("/v1/completions", body).json()
    assert [choice["index"] for choice in plain["choices"]] == [0, 1]
    streamed = by_index(endpoint.stream("/v1/completions", body | {"stream": True}).chunks())
    for choice in plain["choices"]:
        assert "".join(part.get("text") or "" for part in streamed[choice["index"]]) == choice["text"]


@pytest.mark.parametrize("prompt", [[5, 6, 7], [[5, 6], [7, 8]]], ids=["one", "two"])
def test_w07_prompts_may_be_tokens(endpoint: Endpoint, prompt: list[Any]) -> None:
    """W7: token ids and lists of them are prompts."""
    endpoint.need("token-prompts")
    answer = endpoint.send("/v1/completions", endpoint.completion(prompt=prompt))
    assert answer.status_code == 200
    assert len(answer.json()["choices"]) == (2 if isinstance(prompt[0], list) else 1)


def test_w07_a_suffix_is_used_or_refused_but_never_ignored(endpoint: Endpoint) -> None:
    """W7: `suffix` either reaches a model that fills in, or is refused by name."""
    answer = endpoint.send("/v1/completions", endpoint.completion(suffix="끝."))
    if answer.status_code != 200:
        assert answer.status_code == 400
        assert "suffix" in error_of(answer)["message"]


# W8


def test_w08_a_forced_tool_call_is_the_same_streamed_and_plain(endpoint: Endpoint) -> None:
    """W8: id and name come once, in the first delta; the arguments add up to valid JSON; indices from 0."""
    endpoint.need("tools")
    choice = {"type": "function", "function": {"name": "get_weather"}}
    body = endpoint.chat(tools=[tool("get_weather")], tool_choice=choice, max_tokens=60)
    plain = endpoint.send("/v1/chat/completions", body).json()["choices"][0]
    chunks = endpoint.stream("/v1/chat/completions", body | {"stream": True}).chunks()
    parts = [part for chunk in chunks for part in chunk["choices"][0]["delta"].get("tool_calls") or []]
    assert {part["index"] for part in parts} == {0}
    assert [bool(part.get("id")) for part in parts] == [True] + [False] * (len(parts) - 1)
    assert [bool((part.get("function") or {}).get("name")) for part in parts].count(True) == 1
    arguments = "".join((part.get("function") or {}).get("arguments") or "" for part in parts)
    (call,) = plain["message"]["tool_calls"]
    assert json.loads(arguments) == json.loads(call["function"]["arguments"])
    assert json.loads(arguments)["city"] in CITY["enum"]
    assert call["function"]["name"] == parts[0]["function"]["name"] == "get_weather"


def test_w08_parallel_calls_keep_apart(endpoint: Endpoint) -> None:
    """W8: two calls have indices 0 and 1, two ids, and arguments that do not mix."""
    endpoint.need("tools")
    body = endpoint.chat(tools=[tool("get_weather"), tool("get_news")], tool_choice="required")
    chunks = endpoint.stream("/v1/chat/completions", body | {"stream": True, "max_tokens": 120}).chunks()
    calls: dict[int, dict[str, str]] = {}
    for chunk in chunks:
        for part in chunk["choices"][0]["delta"].get("tool_calls") or []:
            call = calls.setdefault(part["index"], {"id": "", "arguments": ""})
            call["id"] += part.get("id") or ""
            call["arguments"] += (part.get("function") or {}).get("arguments") or ""
    assert sorted(calls) == list(range(len(calls)))
    if endpoint.kind == "scripted":
        assert len(calls) == 2
    assert len({call["id"] for call in calls.values()}) == len(calls)
    for call in calls.values():
        assert json.loads(call["arguments"])["city"] in CITY["enum"]


@pytest.mark.parametrize("stream", [False, True])
def test_w08_a_tool_call_ends_with_tool_calls(endpoint: Endpoint, stream: bool) -> None:
    """W8: finish_reason `tool_calls` in both modes (when the model was free to call)."""
    endpoint.need("tools")
    body = endpoint.chat(tools=[tool("get_weather")], tool_choice="required", stream=stream, max_tokens=60)
    if stream:
        reasons = [
            c["choices"][0].get("finish_reason")
            for c in endpoint.stream("/v1/chat/completions", body).chunks()
        ]
    else:
        reasons = [endpoint.send("/v1/chat/completions", body).json()["choices"][0]["finish_reason"]]
    assert reasons[-1] == "tool_calls"


def test_w08_the_official_client_reads_streamed_tool_calls(endpoint: Endpoint, client: openai.OpenAI) -> None:
    """W8: the client's own accumulation gives the call."""
    endpoint.need("tools")
    body = endpoint.chat(tools=[tool("get_weather")], tool_choice="required", max_tokens=60)
    with client.chat.completions.stream(**body) as stream:
        message = stream.get_final_completion().choices[0].message
    assert message.tool_calls is not None
    assert json.loads(message.tool_calls[0].function.arguments)["city"] in CITY["enum"]


# W9


@pytest.mark.parametrize("stream", [False, True])
def test_w09_chat_logprobs_are_aligned_with_the_text(endpoint: Endpoint, stream: bool) -> None:
    """W9: `logprobs.content[]` has token, logprob, bytes and top_logprobs; the bytes add up to the text."""
    endpoint.need("logprobs")
    body = endpoint.chat(logprobs=True, top_logprobs=2, stream=stream)
    if stream:
        choices = [
            c["choices"][0] for c in endpoint.stream("/v1/chat/completions", body).chunks() if c["choices"]
        ]
        text = "".join(choice["delta"].get("content") or "" for choice in choices)
    else:
        choices = endpoint.send("/v1/chat/completions", body).json()["choices"]
        text = choices[0]["message"]["content"]
    entries = [entry for choice in choices for entry in (choice.get("logprobs") or {}).get("content") or []]
    assert len(entries) == 6
    for entry in entries:
        assert entry["logprob"] <= 0
        assert isinstance(entry["token"], str)
        assert len(entry["top_logprobs"]) >= 1
    told = b"".join(bytes(entry["bytes"] or []) for entry in entries)
    # A model may end in the middle of a syllable, whose bytes are then in no text.
    assert told.startswith(text.encode())


@pytest.mark.parametrize("stream", [False, True])
def test_w09_completion_logprobs_are_arrays_of_one_length(endpoint: Endpoint, stream: bool) -> None:
    """W9: tokens, token_logprobs, top_logprobs and text_offset, one entry a token, offsets that grow."""
    endpoint.need("logprobs")
    body = endpoint.completion(logprobs=1, stream=stream)
    if stream:
        found = [c["choices"][0]["logprobs"] for c in endpoint.stream("/v1/completions", body).chunks()]
    else:
        found = [endpoint.send("/v1/completions", body).json()["choices"][0]["logprobs"]]
    merged = {
        name: [value for part in found for value in part[name]]
        for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset")
    }
    assert {len(values) for values in merged.values()} == {6}
    assert merged["text_offset"] == sorted(merged["text_offset"])


# W10


@pytest.mark.parametrize("stream", [False, True])
def test_w10_a_json_schema_is_kept(endpoint: Endpoint, stream: bool) -> None:
    """W10: `response_format: json_schema` gives JSON of that schema."""
    endpoint.need("structured")
    shape = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}
    body = endpoint.chat(response_format=shape, max_tokens=60, stream=stream)
    if stream:
        chunks = endpoint.stream("/v1/chat/completions", body).chunks()
        text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
    else:
        text = endpoint.send("/v1/chat/completions", body).json()["choices"][0]["message"]["content"]
    assert json.loads(text)["city"] in CITY["enum"]


def test_w10_json_spends_no_tokens_on_white_space(endpoint: Endpoint) -> None:
    """W10: a model that is free to put white space between fields fills its token limit with it; whatever
    is drawn, the answer is whole JSON and has at most one space between two values."""
    endpoint.need("structured")
    fields = {f"field_{number}": CITY for number in range(4)}
    schema = {"type": "object", "properties": fields, "required": [*fields], "additionalProperties": False}
    shape = {"type": "json_schema", "json_schema": {"name": "places", "schema": schema}}
    for seed in range(6):
        body = endpoint.chat(response_format=shape, max_tokens=120, temperature=1, seed=seed)
        choice = endpoint.send("/v1/chat/completions", body).json()["choices"][0]
        assert choice["finish_reason"] == "stop"
        text = choice["message"]["content"]
        value = json.loads(text)
        assert text in (
            json.dumps(value, ensure_ascii=False),
            json.dumps(value, ensure_ascii=False, separators=(",", ":")),
        )


def test_w10_vllms_structured_outputs_are_passed_on(endpoint: Endpoint, client: openai.OpenAI) -> None:
    """W10: vLLM's `structured_outputs`, sent as the official client sends extra fields."""
    endpoint.need("structured")
    extra = {"structured_outputs": {"choice": ["대한민국", "제주도"]}}
    answer = client.chat.completions.create(**endpoint.chat(max_tokens=20), extra_body=extra)
    assert answer.choices[0].message.content in extra["structured_outputs"]["choice"]


# W11


@pytest.mark.parametrize("stream", [False, True])
def test_w11_reasoning_survives(endpoint: Endpoint, stream: bool) -> None:
    """W11: `reasoning` beside `content` is not lost."""
    endpoint.need("reasoning")
    body = endpoint.chat(chat_template_kwargs={"enable_thinking": True}, stream=stream)
    if stream:
        chunks = endpoint.stream("/v1/chat/completions", body).chunks()
        said = "".join(c["choices"][0]["delta"].get("reasoning") or "" for c in chunks if c["choices"])
    else:
        said = endpoint.send("/v1/chat/completions", body).json()["choices"][0]["message"]["reasoning"]
    assert said


@pytest.mark.parametrize("stream", [False, True])
def test_w11_token_ids_survive(endpoint: Endpoint, stream: bool) -> None:
    """W11: fields that OpenAI does not have, here vLLM's `token_ids`, reach the client."""
    body = endpoint.chat(return_token_ids=True, stream=stream)
    if stream:
        choices = [
            c["choices"][0] for c in endpoint.stream("/v1/chat/completions", body).chunks() if c["choices"]
        ]
    else:
        choices = endpoint.send("/v1/chat/completions", body).json()["choices"]
    assert len([number for choice in choices for number in choice.get("token_ids") or []]) == 6


def test_w11_an_engines_own_usage_inside_a_delta_survives(endpoint: Endpoint) -> None:
    """W11: what a gateway takes out of a stream is the counts it asked for, not all that is so called."""
    delta = {"role": "assistant", "content": "가", "usage": {"battery": 1}}
    choice = {"index": 0, "delta": delta, "finish_reason": "stop"}
    chunk = {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": endpoint.model}
    event = json.dumps(chunk | {"choices": [choice]}, ensure_ascii=False, separators=(",", ":"))
    endpoint.replay(f"data: {event}\n\ndata: [DONE]\n\n".encode())
    (told,) = endpoint.stream("/v1/chat/completions", endpoint.chat(stream=True)).chunks()
    assert told["choices"][0]["delta"] == delta


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("stream", [False, True])
def test_w22_both_names_of_the_token_limit_work(endpoint: Endpoint, field: str, stream: bool) -> None:
    """W22: `max_tokens` and `max_completion_tokens` limit the answer alike."""
    body = {"model": endpoint.model, "messages": QUESTION, "temperature": 0, field: 3, "stream": stream}
    if stream:
        options = {"stream_options": {"include_usage": True}}
        usage = endpoint.stream("/v1/chat/completions", body | options).chunks()[-1]["usage"]
    else:
        usage = endpoint.send("/v1/chat/completions", body).json()["usage"]
    assert usage["completion_tokens"] == 3


def test_w22_the_newer_name_counts_more(endpoint: Endpoint) -> None:
    """W22: with both, `max_completion_tokens` decides (OpenAI deprecated the other for it)."""
    answer = endpoint.send("/v1/chat/completions", endpoint.chat(max_tokens=9, max_completion_tokens=2))
    assert answer.json()["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize("stream", [False, True])
def test_w22_the_old_name_is_translated_where_a_provider_wants_the_new_one(
    endpoint: Endpoint, stream: bool
) -> None:
    """W22: some providers' models refuse `max_tokens`; engines get what the client wrote."""
    if endpoint.outside is None:
        pytest.skip("not applicable: no provider is known here")
    answer = endpoint.stream(
        "/v1/chat/completions", endpoint.chat(model=endpoint.model_outside, stream=stream)
    )
    assert answer.status == 200
    received = json.loads(endpoint.outside.last().body)
    assert received["max_completion_tokens"] == 6
    assert "max_tokens" not in received
    assert endpoint.send("/v1/chat/completions", endpoint.chat()).status_code == 200
    assert "max_completion_tokens" not in json.loads(endpoint.received().body)
