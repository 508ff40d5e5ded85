"""W28: the same request straight to the engine and through the service, and what must be equal.

Ids, times and the names of stored things are made equal first. An engine joins deltas when its reader is
slow, so neighbouring deltas are put together on both sides: what a client sees is compared, event by event.
"""

import difflib
import json
import re
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.support.conformance.endpoint import QUESTION, TIMEOUT_S, encoded, tls
from tests.support.conformance.wire import Event, parse_events

CHAT, COMPLETION, MESSAGES, RESPONSES = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/messages",
    "/v1/responses",
)
MADE_ANEW = {"id", "item_id", "created", "created_at", "request_id"}
"""Fields that differ between two answers to one request."""
USAGE = {"include_usage": True}
RUNNING = USAGE | {"continuous_usage_stats": True}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "날씨",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["서울", "부산"]}},
    "required": ["city"],
}
SHAPE = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}


@dataclass(frozen=True)
class Case:
    """One request."""

    name: str
    path: str
    fields: dict[str, Any]
    embed: bool = False
    """To the model of embeddings."""
    needs: tuple[str, ...] = ()

    def body(self, model: str) -> bytes:
        """Its bytes for a model of that name."""
        return encoded({"model": model} | self.fields)


def chat(name: str, *needs: str, **fields: Any) -> list[Case]:
    """A chat request, streamed and not."""
    base = {"messages": QUESTION, "max_tokens": 8, "temperature": 0} | fields
    asked = {field: value for field, value in base.items() if value is not ...}
    return [
        Case(f"chat, {name}", CHAT, asked, needs=("chat", *needs)),
        Case(f"chat stream, {name}", CHAT, asked | {"stream": True}, needs=("chat", *needs)),
    ]


def completion(name: str, *needs: str, **fields: Any) -> list[Case]:
    """A completion request, streamed and not."""
    asked = {"prompt": "봄에는", "max_tokens": 6, "temperature": 0} | fields
    return [
        Case(f"completion, {name}", COMPLETION, asked, needs=("completions", *needs)),
        Case(
            f"completion stream, {name}", COMPLETION, asked | {"stream": True}, needs=("completions", *needs)
        ),
    ]


def streamed(path: str, name: str, need: str, **fields: Any) -> Case:
    """A request that only makes sense streamed."""
    base: dict[str, Any] = {"max_tokens": 5, "temperature": 0, "stream": True}
    base |= {"messages": QUESTION} if path == CHAT else {"prompt": "봄에는"}
    return Case(f"{path.rpartition('/v1/')[2]} stream, {name}", path, base | fields, needs=(need,))


FORCED = {"type": "function", "function": {"name": "get_weather"}}
CASES: tuple[Case, ...] = (
    *chat("plain"),
    *chat("default limit", max_tokens=..., stop=["."]),
    *chat("max_completion_tokens", max_tokens=..., max_completion_tokens=3),
    *chat("several turns", messages=[{"role": "system", "content": "짧게."}, *QUESTION]),
    *chat("emoji and Hangul", messages=[{"role": "user", "content": "👩‍👩‍👧 가족 café ﷽ 한글"}]),
    *chat("stop word", stop=["큰", "나"]),
    *chat("stop word included", stop=["은"], include_stop_str_in_output=True),
    *chat("three choices", "choices", n=3, temperature=1, seed=7),
    *chat("logprobs", "logprobs", logprobs=True, top_logprobs=3),
    *chat("token ids", return_token_ids=True),
    *chat("unknown fields", x_unknown={"a": [1e2, None]}, metadata={"k": "v"}),
    *chat("sampling fields", top_k=5, min_p=0.05, repetition_penalty=1.1, frequency_penalty=0.2, seed=3),
    *chat("logit bias", logit_bias={"300": 5}),
    *chat("json schema", "structured", response_format=SHAPE, max_tokens=40),
    *chat("choice of words", "structured", structured_outputs={"choice": ["서울", "부산"]}),
    *chat("tools not called", tools=[TOOL], tool_choice="none"),
    # Cut off within the arguments: of a call cut off before them vLLM tells "" or "{}", as deltas join.
    *chat("forced tool", tools=[TOOL], tool_choice=FORCED, max_tokens=100),
    *chat("go on with the answer", messages=[*QUESTION, {"role": "assistant", "content": "토큰은"}])[:1],
    *completion("plain"),
    *completion("echo", "echo", echo=True),
    *completion("echo and logprobs", "echo", "logprobs", echo=True, logprobs=2),
    *completion("logprobs", "logprobs", logprobs=2),
    *completion("two prompts", prompt=["봄에는", "가을에는"]),
    *completion("tokens", "token-prompts", prompt=[5, 6, 7, 8]),
    *completion("lists of tokens", "token-prompts", prompt=[[5, 6], [7, 8, 9]]),
    *completion("two choices", "choices", n=2, temperature=1, seed=5),
    *completion("one token", max_tokens=1),
    *completion("prompt logprobs", "logprobs", prompt_logprobs=1)[:1],
    streamed(CHAT, "usage", "chat", stream_options=USAGE),
    streamed(CHAT, "running usage", "chat", stream_options=RUNNING),
    streamed(CHAT, "usage off", "chat", stream_options={"include_usage": False}),
    streamed(CHAT, "running usage but no usage", "chat", stream_options={"continuous_usage_stats": True}),
    streamed(CHAT, "empty options", "chat", stream_options={}),
    streamed(CHAT, "null options", "chat", stream_options=None),
    streamed(CHAT, "usage of two choices", "choices", stream_options=USAGE, n=2, temperature=1, seed=7),
    streamed(COMPLETION, "usage", "completions", stream_options=USAGE),
    streamed(COMPLETION, "running usage", "completions", stream_options=RUNNING),
    # mistakes
    *chat("temperature too high", temperature=9),
    *chat("no messages", messages=...),
    *chat("empty conversation", messages=[]),
    *chat("too many tokens", max_tokens=10**9),
    *chat("context too long", messages=[{"role": "user", "content": "가나다라 " * 9000}]),
    *chat("options without a stream", stream_options=USAGE)[:1],
    *chat("messages of a wrong kind", messages="안녕"),
    *chat("unknown role", messages=[{"role": "nobody", "content": "?"}]),
    *completion("no prompt", prompt=None),
    *completion("suffix", suffix="끝"),
    # other routes
    Case(
        "messages", MESSAGES, {"messages": QUESTION, "max_tokens": 5, "temperature": 0}, needs=("messages",)
    ),
    Case(
        "messages stream",
        MESSAGES,
        {"messages": QUESTION, "max_tokens": 5, "temperature": 0, "stream": True},
        needs=("messages",),
    ),
    Case(
        "messages, stop sequence",
        MESSAGES,
        {"messages": QUESTION, "max_tokens": 9, "temperature": 0, "stop_sequences": ["은"]},
        needs=("messages",),
    ),
    Case("count tokens", "/v1/messages/count_tokens", {"messages": QUESTION}, needs=("messages",)),
    Case(
        "responses",
        RESPONSES,
        {"input": "안녕", "max_output_tokens": 5, "temperature": 0},
        needs=("responses",),
    ),
    Case(
        "responses stream",
        RESPONSES,
        {"input": "안녕", "max_output_tokens": 5, "temperature": 0, "stream": True},
        needs=("responses",),
    ),
    Case("tokenize", "/tokenize", {"prompt": "안녕하세요"}, needs=("tokenize",)),
    Case("tokenize a conversation", "/tokenize", {"messages": QUESTION}, needs=("tokenize",)),
    Case("detokenize", "/detokenize", {"tokens": [100, 200, 300]}, needs=("tokenize",)),
    Case("embeddings", "/v1/embeddings", {"input": ["안녕", "세상"]}, embed=True, needs=("embeddings",)),
    Case(
        "embeddings, base64",
        "/v1/embeddings",
        {"input": "안녕", "encoding_format": "base64"},
        embed=True,
        needs=("embeddings",),
    ),
    Case("score", "/v1/score", {"text_1": "안녕", "text_2": ["안녕", "세상"]}, embed=True, needs=("score",)),
    Case(
        "rerank", "/v1/rerank", {"query": "안녕", "documents": ["a", "안녕"]}, embed=True, needs=("rerank",)
    ),
    Case("pooling", "/pooling", {"input": "안녕"}, embed=True, needs=("pooling",)),
)


@dataclass(frozen=True)
class Service:
    """One side of the comparison."""

    url: str
    """Without /v1."""
    key: str

    def ask(self, case: Case, model: str) -> httpx2.Response:
        """Its answer to a case."""
        headers = {"authorization": f"Bearer {self.key or 'none'}", "content-type": "application/json"}
        body = case.body(model)
        return httpx2.post(
            self.url + case.path,
            content=body,
            headers=headers,
            timeout=TIMEOUT_S,
            verify=tls(),
            trust_env=False,
        )


def comparable(answer: httpx2.Response, case: Case) -> Any:
    """What must be equal on both sides, as plain data."""
    kind = answer.headers["content-type"].partition(";")[0]
    if answer.status_code >= 400:
        error = answer.json()["error"]
        # Type and code are translated to OpenAI's words, and a hint may follow; the rest is the engine's.
        message = re.sub(r"\s+", " ", error["message"])
        return {"status": answer.status_code, "message": message, "param": error.get("param")}
    if kind == "text/event-stream":
        return {"status": answer.status_code, "events": merged(parse_events(answer.content), case)}
    return {"status": answer.status_code, "kind": kind, "body": unnamed(answer.json())}


def differences(direct: Any, through: Any) -> str:
    """Where the two differ, or "": an error's message may have a hint after it."""
    if direct.get("message") and through.get("message"):
        if not str(through["message"]).startswith(str(direct["message"]).rstrip(". ")[:60]):
            return f"message: {direct['message']!r} became {through['message']!r}"
        direct, through = direct | {"message": ""}, through | {"message": ""}
    if direct == through:
        return ""
    left, right = (
        json.dumps(side, ensure_ascii=False, indent=1, sort_keys=True).splitlines()
        for side in (direct, through)
    )
    return "\n".join(list(difflib.unified_diff(left, right, "direct", "through", lineterm="", n=1))[:40])


def unnamed(value: Any) -> Any:
    """The value with everything that is made anew for each answer taken out."""
    if isinstance(value, dict):
        return {k: "*" if k in MADE_ANEW and v is not None else unnamed(v) for k, v in value.items()}
    if isinstance(value, list):
        return [unnamed(item) for item in value]
    return value


def merged(events: list[Event], case: Case) -> Any:
    """A stream as what a client puts together from it."""
    if case.path in (CHAT, COMPLETION):
        return _merged_choices(events, case)
    found: list[Any] = []
    for event in events:
        payload = unnamed(event.json()) if event.data != "[DONE]" else event.data
        if isinstance(payload, dict):
            payload.pop("sequence_number", None)
            if found and _joins(found[-1], event, payload):
                continue
        found.append([event.name, payload])
    return found


def _joins(last: Any, event: Event, payload: dict[str, Any]) -> bool:
    """Put a delta to the one before it; False when it is no such delta."""
    name, before = last
    if name != event.name or not (name or "").endswith("delta") or name == "message_delta":
        return False
    if isinstance(payload.get("delta"), str):
        before["delta"] += payload["delta"]
        return True
    for field in ("text", "partial_json"):
        if field in payload["delta"] and field in before["delta"]:
            before["delta"][field] += payload["delta"][field]
            return True
    return False


def _merged_choices(events: list[Event], case: Case) -> Any:
    *chunks, done = events
    choices: dict[int, dict[str, Any]] = {}
    alone: list[Any] = []
    shape: list[Any] = []
    counted = [False, False]
    for number, event in enumerate(chunks):
        chunk = unnamed(event.json())
        # vLLM puts it on the last event, which is another one when usage is asked for.
        chunk.pop("system_fingerprint", None)
        told = chunk.pop("choices")
        if not told:
            alone.append(chunk)
            continue
        counted["usage" in chunk] = True
        if number == 0:
            shape.append(sorted(set(chunk) - {"usage"}))
        for choice in told:
            known = choices.setdefault(choice["index"], {"text": "", "deltas": {}, "lists": {}, "calls": {}})
            _merge(known, choice)
    return {"choices": choices, "alone": alone, "first": shape, "counted": counted, "last": done.data}


def _merge(known: dict[str, Any], choice: dict[str, Any]) -> None:
    known["text"] += choice.get("text") or ""
    for name, value in (choice.get("delta") or {}).items():
        if name == "tool_calls":
            for call in value or []:
                target = known["calls"].setdefault(call["index"], {"arguments": "", "named": []})
                function = call.get("function") or {}
                target["arguments"] += function.get("arguments") or ""
                if function.get("name"):
                    target["named"].append(function["name"])
        elif value is not None:
            known["deltas"][name] = known["deltas"].get(name, "") + value
    logprobs = choice.get("logprobs") or {}
    for name, value in [*logprobs.items(), ("token_ids", choice.get("token_ids"))]:
        if value is not None:
            known["lists"].setdefault(name, []).extend(value)
    for name in ("finish_reason", "stop_reason", "prompt_token_ids"):
        if choice.get(name) is not None:
            assert name not in known, f"{name} twice"
            known[name] = choice[name]
