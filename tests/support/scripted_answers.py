"""What the scripted engine answers when it behaves: every inference route, in the shapes of vLLM 0.32.

Pure functions from a request to a whole answer or to the steps of a stream. The same request always gets
the same text, and a stream and a plain answer of it say the same.
"""

import base64
import hashlib
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

SYLLABLES = "가나다라마바사아자차카타파하"
CONTEXT_LENGTH = 4096
"""Tokens. A prompt is taken to have one for every 4 characters."""
PROMPT_TOKENS = 5
"""What every prompt is said to have."""
DIMENSIONS = 16
"""Of embeddings."""
FINGERPRINT = "scripted"


@dataclass(frozen=True)
class Step:
    """One event of a stream."""

    payload: dict[str, Any]
    token: int | None = None
    """The token that this event brings, when it is the first to bring it: where a scripted fault strikes."""
    name: str | None = None
    """Of the `event:` line."""


@dataclass(eq=False)
class Refusal(Exception):
    """A client's mistake, told as vLLM does."""

    status: int
    message: str
    type: str = "BadRequestError"
    param: str | None = None

    def body(self) -> dict[str, Any]:
        """vLLM's error object; its code is the status."""
        return {
            "error": {"message": self.message, "type": self.type, "param": self.param, "code": self.status}
        }


def token(model: str, index: int) -> str:
    """The text of one token: it says whose it is and which."""
    return f"{model}-{index} {SYLLABLES[index % len(SYLLABLES)]} "


def answer_text(model: str, tokens: int) -> str:
    """The whole answer with this many tokens."""
    return "".join(token(model, i) for i in range(tokens))


def sample(schema: dict[str, Any]) -> Any:
    """The smallest value that a JSON schema of simple kinds allows."""
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "object":
        return {name: sample(of) for name, of in schema.get("properties", {}).items()}
    plain: dict[str, Any] = {"string": "한글", "integer": 1, "number": 0.5, "boolean": True, "array": []}
    return plain.get(str(schema.get("type")))


def is_stream(asked: dict[str, Any]) -> bool:
    """As pydantic reads it: the string "true" counts."""
    return asked.get("stream") in (True, "true", "True", 1)


def check(asked: dict[str, Any], needed: str, limit: str = "max_tokens") -> None:
    """Raises Refusal for what vLLM refuses before it starts."""
    if asked.get(needed) is None:
        raise Refusal(400, f"1 validation error:\n  'body.{needed}': Field required", param=f"body.{needed}")
    if asked[needed] == [] and needed == "messages":
        raise Refusal(400, "Cannot apply chat template to an empty conversation.")
    temperature = asked.get("temperature")
    if isinstance(temperature, int | float) and not 0 <= temperature <= 2:
        raise Refusal(400, f"temperature must be in [0, 2], got {temperature}.", param="temperature")
    if not isinstance(asked.get("stream_options"), dict | None):
        message = "1 validation error:\n  'body.stream_options': Input should be a valid dictionary"
        raise Refusal(400, message, param="body.stream_options")
    if asked.get("stream_options") is not None and not is_stream(asked):
        message = "Stream options can only be defined when `stream=True`. (parameter=stream_options)"
        raise Refusal(400, message, param="stream_options")
    if (asked.get(limit) or 0) > CONTEXT_LENGTH:
        message = f"{limit}={asked[limit]} cannot be greater than max_model_len={CONTEXT_LENGTH}."
        raise Refusal(400, message, param=limit)
    if len(json.dumps(asked[needed], ensure_ascii=False)) > 4 * CONTEXT_LENGTH:
        message = f"This model's maximum context length is {CONTEXT_LENGTH} tokens. However, your prompt "
        message += f"contains at least {CONTEXT_LENGTH + 1} input tokens."
        raise Refusal(400, message, param="input_tokens")


def continued_at(model: str, asked: dict[str, Any]) -> int:
    """How many tokens of the answer the request brings along for `continue_final_message`."""
    if not asked.get("continue_final_message"):
        return 0
    said = asked["messages"][-1]
    assert said["role"] == "assistant", said
    count: int = said["content"].count(f"{model}-")
    assert said["content"] == answer_text(model, count), said
    return count


@dataclass(frozen=True)
class Generated:
    """What the model says to one prompt."""

    pieces: list[str]
    reason: str
    reasoning: list[str]


def generate(model: str, asked: dict[str, Any], limit: int | None) -> Generated:
    """The pieces of text of one choice; raises Refusal for more tokens than fit."""
    if limit is not None and not 0 <= limit <= CONTEXT_LENGTH:
        raise Refusal(400, f"{limit} tokens do not fit into max_model_len={CONTEXT_LENGTH}.")
    reasoning = (
        ["생각", "하는 중"] if (asked.get("chat_template_kwargs") or {}).get("enable_thinking") else []
    )
    formed = (asked.get("response_format") or {}).get("json_schema", {}).get("schema")
    choices = (asked.get("structured_outputs") or {}).get("choice")
    if formed is not None or choices:
        text = choices[0] if choices else json.dumps(sample(formed), ensure_ascii=False)
        return Generated([text[i : i + 3] for i in range(0, len(text), 3)], "stop", reasoning)
    count = limit or 16
    stops = asked.get("stop") or []
    pieces: list[str] = []
    begun = continued_at(model, asked)
    for index in range(begun, begun + count):
        piece = token(model, index)
        at = min(
            (p for s in ([stops] if isinstance(stops, str) else stops) if (p := piece.find(s)) >= 0),
            default=-1,
        )
        if at >= 0:
            return Generated([*pieces, piece[:at]], "stop", reasoning)
        pieces.append(piece)
    return Generated(pieces, "length", reasoning)


def usage_of(completion: int, prompt: int = PROMPT_TOKENS) -> dict[str, Any]:
    """OpenAI's usage object."""
    return {
        "prompt_tokens": prompt,
        "total_tokens": prompt + completion,
        "completion_tokens": completion,
        "prompt_tokens_details": None,
    }


def logprob(piece: str, top: int) -> dict[str, Any]:
    """One entry of chat's logprobs."""
    entry = {"token": piece, "logprob": -0.5, "bytes": list(piece.encode())}
    return entry | {"top_logprobs": [entry][:top]}


# Chat completions


def calls_of(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """The tool calls the model makes: one of each tool it may call, or none."""
    choice = asked.get("tool_choice", "auto")
    tools = [tool["function"] for tool in asked.get("tools") or []]
    if choice == "none" or not tools:
        return []
    if isinstance(choice, dict):
        tools = [tool for tool in tools if tool["name"] == choice["function"]["name"]]
    if asked.get("parallel_tool_calls") is False:
        tools = tools[:1]
    return [
        {
            "id": f"call-{index}",
            "type": "function",
            "function": {
                "name": tool["name"],
                "arguments": json.dumps(sample(tool["parameters"]), ensure_ascii=False),
            },
        }
        for index, tool in enumerate(tools)
    ]


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


def prompts_of(prompt: Any) -> list[Any]:
    """The prompts of a request: one string, one token list, or a list of either."""
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
        return prompt
    return [prompt]


def prompt_text(prompt: Any) -> str:
    """The text of a prompt, which may be tokens."""
    return prompt if isinstance(prompt, str) else "".join(f"<{number}>" for number in prompt)


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


# Embeddings, scores and other answers without generation


def vector(text: str, dimensions: int) -> list[float]:
    """A direction that depends on the text alone."""
    digest = hashlib.sha512(text.encode()).digest()
    return [digest[at] / 255 - 0.5 for at in range(dimensions)]


def embeddings(model: str, asked: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Embeddings as floats or as base64 of little-endian float32."""
    check(asked, "input")
    inputs = prompts_of(asked["input"])
    dimensions = asked.get("dimensions") or DIMENSIONS
    data = []
    for index, given in enumerate(inputs):
        numbers: Any = vector(prompt_text(given), dimensions)
        if asked.get("encoding_format") == "base64":
            numbers = base64.b64encode(struct.pack(f"<{dimensions}f", *numbers)).decode("ascii")
        data.append({"object": "embedding", "index": index, "embedding": numbers})
    count = PROMPT_TOKENS * len(inputs)
    usage = {"prompt_tokens": count, "total_tokens": count, "completion_tokens": 0}
    return base | {"object": "list", "data": data, "usage": usage}


def closeness(one: str, other: str) -> float:
    """1 for the same text, less for others."""
    left, right = set(one), set(other)
    return len(left & right) / max(1, len(left | right))


def score(model: str, asked: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """How close text_1 is to every text_2."""
    check(asked, "text_1")
    others = [asked["text_2"]] if isinstance(asked["text_2"], str) else asked["text_2"]
    data = [
        {"index": index, "object": "score", "score": closeness(asked["text_1"], other)}
        for index, other in enumerate(others)
    ]
    return base | {"object": "list", "data": data, "usage": usage_of(0)}


def rerank(model: str, asked: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """The documents, the closest first."""
    check(asked, "query")
    results: list[dict[str, Any]] = [
        {"index": i, "document": {"text": text}, "relevance_score": closeness(asked["query"], text)}
        for i, text in enumerate(asked["documents"])
    ]
    results.sort(key=lambda found: -found["relevance_score"])
    return base | {"results": results[: asked.get("top_n") or None], "usage": usage_of(0)}


def pooling(model: str, asked: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """The vectors themselves."""
    check(asked, "input")
    data = [
        {"index": index, "object": "pooling", "data": vector(prompt_text(given), DIMENSIONS)}
        for index, given in enumerate(prompts_of(asked["input"]))
    ]
    return base | {"object": "list", "data": data, "usage": usage_of(0)}


def classify(model: str, asked: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Everything is a compliment."""
    check(asked, "input")
    data = [
        {"index": index, "label": "칭찬", "probs": [0.75, 0.25], "num_classes": 2}
        for index, _ in enumerate(prompts_of(asked["input"]))
    ]
    return base | {"object": "list", "data": data, "usage": usage_of(0)}


def count_tokens(model: str, asked: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Anthropic's token count."""
    check(asked, "messages")
    return {"input_tokens": PROMPT_TOKENS, "context_management": {"original_input_tokens": PROMPT_TOKENS}}


Whole = Callable[[str, dict[str, Any], dict[str, Any]], dict[str, Any]]
Streamed = Callable[[str, dict[str, Any], dict[str, Any]], Iterator[Step]]

WHOLE: dict[str, Whole] = {
    "/v1/chat/completions": chat,
    "/v1/completions": completion,
    "/v1/messages": message,
    "/v1/messages/count_tokens": count_tokens,
    "/v1/responses": response,
    "/v1/embeddings": embeddings,
    "/v1/score": score,
    "/score": score,
    "/v1/rerank": rerank,
    "/v2/rerank": rerank,
    "/rerank": rerank,
    "/pooling": pooling,
    "/classify": classify,
}
STREAMED: dict[str, Streamed] = {
    "/v1/chat/completions": chat_stream,
    "/v1/completions": completion_stream,
    "/v1/messages": message_stream,
    "/v1/responses": response_stream,
}
POOLING = (
    "/v1/embeddings",
    "/v1/score",
    "/score",
    "/v1/rerank",
    "/v2/rerank",
    "/rerank",
    "/pooling",
    "/classify",
)
"""Routes of a model of embeddings, and of no other."""
ENDS_WITH_DONE = ("/v1/chat/completions", "/v1/completions")
