"""Whole answers and streams where text is generated, in the shapes of vLLM 0.32."""

import json
from collections.abc import Iterator
from typing import Any

from tests.support.scripted_answers import (
    FINGERPRINT,
    PROMPT_TOKENS,
    Generated,
    Refusal,
    Step,
    calls_of,
    check,
    generate,
    logprob,
    prompt_text,
    prompts_of,
    sample,
    usage_of,
)


def chat_limit(asked: dict[str, Any]) -> int | None:
    """The token limit; the newer name counts more."""
    return asked.get("max_completion_tokens") or asked.get("max_tokens")


def chat(model: str, asked: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """The whole answer of chat completions."""
    check(asked, "messages")
    said = generate(model, asked, chat_limit(asked))
    calls = calls_of(asked)
    choices = []
    for index in range(asked.get("n") or 1):
        message: dict[str, Any] = {"role": "assistant", "content": None if calls else "".join(said.pieces)}
        if calls:
            message["tool_calls"] = calls
        if said.reasoning:
            message["reasoning"] = "".join(said.reasoning)
        choice: dict[str, Any] = {"index": index, "message": message, "logprobs": None}
        if asked.get("logprobs"):
            top = asked.get("top_logprobs") or 0
            choice["logprobs"] = {"content": [logprob(piece, top) for piece in said.pieces]}
        if asked.get("return_token_ids"):
            choice["token_ids"] = list(range(len(said.pieces)))
        choices.append(choice | {"finish_reason": "tool_calls" if calls else said.reason})
    spent = usage_of(len(said.pieces) * len(choices))
    return base | {"object": "chat.completion", "choices": choices, "usage": spent}


def chat_deltas(model: str, asked: dict[str, Any]) -> tuple[list[dict[str, Any]], Generated]:
    """The deltas of one choice."""
    said = generate(model, asked, chat_limit(asked))
    deltas: list[dict[str, Any]] = [{"reasoning": piece} for piece in said.reasoning]
    if calls := calls_of(asked):
        for index, call in enumerate(calls):
            name, arguments = call["function"]["name"], call["function"]["arguments"]
            first = call | {"index": index, "function": {"name": name, "arguments": ""}}
            deltas.append({"tool_calls": [first]})
            for at in range(0, len(arguments), 4):
                rest = {"index": index, "function": {"arguments": arguments[at : at + 4]}}
                deltas.append({"tool_calls": [rest]})
        said = Generated(said.pieces, "tool_calls", said.reasoning)
    else:
        deltas += [{"content": piece} for piece in said.pieces]
    deltas[0] = {"role": "assistant"} | deltas[0]
    return deltas, said


def chat_stream(model: str, asked: dict[str, Any], base: dict[str, Any]) -> Iterator[Step]:
    """The events of chat completions, without [DONE]."""
    check(asked, "messages")
    deltas, said = chat_deltas(model, asked)
    base = base | {"object": "chat.completion.chunk"}
    count = asked.get("n") or 1
    steps: list[Step] = []
    for at, delta in enumerate(deltas):
        for index in range(count):
            choice: dict[str, Any] = {"index": index, "delta": delta, "logprobs": None}
            if asked.get("logprobs") and "content" in delta:
                top = asked.get("top_logprobs") or 0
                choice["logprobs"] = {"content": [logprob(delta["content"], top)]}
            if asked.get("return_token_ids"):
                choice["token_ids"] = [at]
            choice["finish_reason"] = said.reason if at == len(deltas) - 1 else None
            running = usage_of((at + 1) * count if "content" in delta else 0)
            steps.append(Step(base | {"choices": [choice]} | _running(asked, running), None if index else at))
    yield from _with_usage(asked, base, steps, usage_of(len(said.pieces) * count))


def _running(asked: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
    options = asked.get("stream_options") or {}
    wanted = options.get("include_usage") and options.get("continuous_usage_stats")
    return {"usage": usage} if wanted else {}


def _with_usage(
    asked: dict[str, Any], base: dict[str, Any], steps: list[Step], usage: dict[str, Any]
) -> list[Step]:
    """vLLM puts its fingerprint on the last event, which is the one with the usage when that is asked for."""
    if (asked.get("stream_options") or {}).get("include_usage"):
        return [*steps, Step(base | {"choices": [], "usage": usage, "system_fingerprint": FINGERPRINT})]
    last = Step(steps[-1].payload | {"system_fingerprint": FINGERPRINT}, steps[-1].token)
    return [*steps[:-1], last]


# Completions


def completion_choices(model: str, asked: dict[str, Any]) -> tuple[list[list[str]], str]:
    """The pieces of every choice, and why they end."""
    check(asked, "prompt")
    if asked.get("suffix"):
        message = "suffix is only supported for models with FIM completion rendering"
        raise Refusal(400, message, param="suffix")
    said = generate(model, asked, asked.get("max_tokens"))
    choices = []
    for prompt in prompts_of(asked["prompt"]):
        pieces = list(said.pieces)
        if asked.get("echo"):
            pieces[0] = prompt_text(prompt) + pieces[0]
        choices += [pieces] * (asked.get("n") or 1)
    return choices, said.reason


def completion_logprobs(pieces: list[str], start: int) -> dict[str, Any]:
    """Legacy logprobs: arrays, with each piece's place in the text."""
    offsets = [start + sum(len(piece) for piece in pieces[:at]) for at in range(len(pieces))]
    return {
        "text_offset": offsets,
        "token_logprobs": [-0.5] * len(pieces),
        "tokens": pieces,
        "top_logprobs": [{piece: -0.5} for piece in pieces],
    }


def completion(model: str, asked: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """The whole answer of completions."""
    texts, reason = completion_choices(model, asked)
    choices = [
        {
            "index": index,
            "text": "".join(pieces),
            "logprobs": completion_logprobs(pieces, 0) if asked.get("logprobs") is not None else None,
            "finish_reason": reason,
        }
        for index, pieces in enumerate(texts)
    ]
    spent = usage_of(sum(map(len, texts)), PROMPT_TOKENS * len(prompts_of(asked["prompt"])))
    return base | {"object": "text_completion", "choices": choices, "usage": spent}


def completion_stream(model: str, asked: dict[str, Any], base: dict[str, Any]) -> Iterator[Step]:
    """The events of completions, without [DONE]."""
    texts, reason = completion_choices(model, asked)
    base = base | {"object": "text_completion"}
    prompt_tokens = PROMPT_TOKENS * len(prompts_of(asked["prompt"]))
    steps: list[Step] = []
    for at in range(len(texts[0])):
        for index, pieces in enumerate(texts):
            choice: dict[str, Any] = {"index": index, "text": pieces[at], "logprobs": None}
            if asked.get("logprobs") is not None:
                choice["logprobs"] = completion_logprobs([pieces[at]], len("".join(pieces[:at])))
            choice["finish_reason"] = reason if at == len(pieces) - 1 else None
            running = _running(asked, usage_of((at + 1) * len(texts), prompt_tokens))
            steps.append(Step(base | {"choices": [choice]} | running, None if index else at))
    yield from _with_usage(asked, base, steps, usage_of(sum(map(len, texts)), prompt_tokens))


# Anthropic's messages

STOP_REASONS = {"length": "max_tokens", "stop": "end_turn"}


def blocks_of(model: str, asked: dict[str, Any]) -> tuple[list[dict[str, Any]], str, int]:
    """Content blocks, stop reason, output tokens."""
    check(asked, "messages")
    check(asked, "max_tokens")
    tools = asked.get("tools") or []
    choice = asked.get("tool_choice") or {"type": "auto"}
    if tools and choice["type"] != "none":
        chosen = [tool for tool in tools if choice["type"] != "tool" or tool["name"] == choice["name"]]
        blocks = [
            {"type": "tool_use", "id": f"toolu-{i}", "name": t["name"], "input": sample(t["input_schema"])}
            for i, t in enumerate(chosen)
        ]
        return blocks, "tool_use", 4
    said = generate(model, asked | {"stop": asked.get("stop_sequences")}, asked["max_tokens"])
    text = {"type": "text", "text": "".join(said.pieces)}
    return [text], STOP_REASONS[said.reason], len(said.pieces)


def message(model: str, asked: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """The whole answer of messages."""
    blocks, reason, output = blocks_of(model, asked)
    return {
        "id": base["id"],
        "type": "message",
        "role": "assistant",
        "content": blocks,
        "model": base["model"],
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {"input_tokens": PROMPT_TOKENS, "output_tokens": output},
    }


def message_stream(model: str, asked: dict[str, Any], base: dict[str, Any]) -> Iterator[Step]:
    """The events of messages, message_stop included."""
    whole = message(model, asked, base)
    start = whole | {"content": [], "stop_reason": None}
    start["usage"] = {"input_tokens": PROMPT_TOKENS, "output_tokens": 0}

    def step(kind: str, token: int | None = None, **fields: Any) -> Step:
        return Step({"type": kind} | fields, token, kind)

    yield step("message_start", message=start)
    yield step("ping")
    at = 0
    for index, block in enumerate(whole["content"]):
        if block["type"] == "text":
            yield step("content_block_start", index=index, content_block={"type": "text", "text": ""})
            pieces = generate(
                model, asked | {"stop": asked.get("stop_sequences")}, asked["max_tokens"]
            ).pieces
            for piece in pieces:
                delta = {"type": "text_delta", "text": piece}
                yield step("content_block_delta", at, index=index, delta=delta)
                at += 1
        else:
            yield step("content_block_start", index=index, content_block=block | {"input": {}})
            arguments = json.dumps(block["input"], ensure_ascii=False)
            for start_at in range(0, len(arguments), 4):
                delta = {"type": "input_json_delta", "partial_json": arguments[start_at : start_at + 4]}
                yield step("content_block_delta", at, index=index, delta=delta)
                at += 1
        yield step("content_block_stop", index=index)
    ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield step("message_delta", delta=ended, usage=whole["usage"])
    yield step("message_stop")


# Responses


def response(model: str, asked: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """The whole answer of responses."""
    check(asked, "input", "max_output_tokens")
    said = generate(model, asked, asked.get("max_output_tokens"))
    part: dict[str, Any] = {
        "type": "output_text",
        "text": "".join(said.pieces),
        "annotations": [],
        "logprobs": None,
    }
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    spent = {
        "input_tokens": PROMPT_TOKENS,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": len(said.pieces),
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": PROMPT_TOKENS + len(said.pieces),
    }
    cut = said.reason == "length"
    return {
        "id": asked.get("request_id") or f"resp_{base['id']}",
        "object": "response",
        "created_at": base["created"],
        "model": base["model"],
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "error": None,
        "output": [item],
        "parallel_tool_calls": True,
        "tool_choice": "none",
        "tools": [],
        "background": bool(asked.get("background")),
        "previous_response_id": asked.get("previous_response_id"),
        "usage": spent,
    }


def response_stream(model: str, asked: dict[str, Any], base: dict[str, Any]) -> Iterator[Step]:
    """The events of responses, response.completed included."""
    whole = response(model, asked, base)
    begun = whole | {"status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    (item,) = whole["output"]
    (part,) = item["content"]
    number = 0

    def step(kind: str, token: int | None = None, **fields: Any) -> Step:
        nonlocal number
        number += 1
        return Step(fields | {"sequence_number": number - 1, "type": kind}, token, kind)

    yield step("response.created", response=begun)
    yield step("response.in_progress", response=begun)
    opened = item | {"status": "in_progress", "content": []}
    yield step("response.output_item.added", item=opened, output_index=0)
    where = {"content_index": 0, "item_id": item["id"], "output_index": 0}
    yield step("response.content_part.added", part=part | {"text": ""}, **where)
    for at, piece in enumerate(generate(model, asked, asked.get("max_output_tokens")).pieces):
        yield step("response.output_text.delta", at, delta=piece, logprobs=[], **where)
    yield step("response.output_text.done", text=part["text"], logprobs=[], **where)
    yield step("response.content_part.done", part=part, **where)
    yield step("response.output_item.done", item=item, output_index=0)
    yield step("response.completed", response=whole)


def count_tokens(model: str, asked: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Anthropic's token count."""
    check(asked, "messages")
    return {"input_tokens": PROMPT_TOKENS, "context_management": {"original_input_tokens": PROMPT_TOKENS}}


def aborted(path: str, base: dict[str, Any]) -> list[Step]:
    """How vLLM ends a stream when it is stopped: as if all were well, but for the reason."""
    if path == "/v1/messages":
        usage = {"input_tokens": 5, "output_tokens": 1}
        end = {"type": "message_delta", "delta": {"stop_reason": None, "stop_sequence": None}, "usage": usage}
        return [Step(end, name="message_delta"), Step({"type": "message_stop"}, name="message_stop")]
    if path == "/v1/responses":
        return [failed(path)]
    text = path == "/v1/completions"
    choice = {"index": 0, "finish_reason": "abort"} | ({"text": ""} if text else {"delta": {"content": ""}})
    kind = "text_completion" if text else "chat.completion.chunk"
    return [Step(base | {"object": kind, "choices": [choice]})]


def failed(path: str) -> Step:
    """An error in the middle of a stream, in the words of the route."""
    if path == "/v1/messages":
        error = {"type": "internal_error", "message": "scripted"}
        return Step({"type": "error", "error": error}, name="error")
    if path == "/v1/responses":
        told = {"type": "error", "code": "server_error", "message": "scripted", "param": None}
        return Step(told | {"sequence_number": 99}, name="error")
    return Step({"error": {"message": "scripted", "type": "Scripted", "param": None, "code": 500}})
