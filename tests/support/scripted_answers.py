"""The text, the calls and the counts that the scripted engine answers with, on whatever route it is asked.

Pure functions from a request to a whole answer or to the steps of a stream. The same request always gets
the same text, and a stream and a plain answer of it say the same.
"""

import json
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


def prompts_of(prompt: Any) -> list[Any]:
    """The prompts of a request: one string, one token list, or a list of either."""
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
        return prompt
    return [prompt]


def prompt_text(prompt: Any) -> str:
    """The text of a prompt, which may be tokens."""
    return prompt if isinstance(prompt, str) else "".join(f"<{number}>" for number in prompt)


def tokens_or_text(path: str, asked: dict[str, Any]) -> dict[str, Any]:
    """One token a character, both ways."""
    if path == "/detokenize":
        return {"prompt": "".join(map(chr, asked["tokens"]))}
    text = asked.get("prompt") or "".join(f"[{m['role']}]{m['content']}" for m in asked["messages"])
    return {"tokens": [ord(c) for c in text], "count": len(text)}
