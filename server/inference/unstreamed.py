"""A whole answer as the stream that was asked for.

Some servers cannot stream, or not with every model or parameter, and answer `"stream": true` with plain JSON.
A client that reads events finds none in it and takes the answer for an empty one. The events here are those
that the same answer would have come in, each text in one piece.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any

import msgspec

from server.client.routes import Dialect

Events = Iterator[dict[str, Any]]
_NOT_AN_ANSWER = (
    msgspec.MsgspecError,
    ValueError,
    OverflowError,
    RecursionError,
    LookupError,
    TypeError,
    AttributeError,
)
"""What decoding raises, and what looking for fields does where they are missing or of another kind."""


def events_of(body: bytes, dialect: Dialect) -> bytes:
    """The stream of the answer `body`; b"" when it is no whole answer of this dialect."""
    try:
        answer = msgspec.json.decode(body)
        if dialect == "openai":
            chunks = [b"data: %b\n\n" % msgspec.json.encode(chunk) for chunk in _chunks(answer)]
            return b"".join((*chunks, b"data: [DONE]\n\n"))
        events = list(_response_events(answer) if dialect == "responses" else _message_events(answer))
        return b"".join(
            b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event))
            for event in events
        )
    except _NOT_AN_ANSWER:
        return b""


def _chunks(answer: dict[str, Any]) -> Events:
    """Chat completions and completions: https://platform.openai.com/docs/api-reference/chat-streaming"""
    shared = {name: value for name, value in answer.items() if name not in ("choices", "usage")}
    if answer["object"] == "chat.completion":
        shared["object"] = "chat.completion.chunk"
    for choice in answer["choices"]:
        if "message" in choice:
            delta = dict(choice["message"])
            calls = delta.get("tool_calls")
            if calls:
                delta["tool_calls"] = [{"index": index} | call for index, call in enumerate(calls)]
            others = {name: value for name, value in choice.items() if name != "message"}
            choice = {"index": 0, "delta": delta, "finish_reason": None} | others
        yield shared | {"choices": [choice]}
    if answer.get("usage"):
        yield shared | {"choices": [], "usage": answer["usage"]}


def _response_events(answer: dict[str, Any]) -> Events:
    """Responses: https://platform.openai.com/docs/api-reference/responses-streaming"""
    numbers = count()

    def event(kind: str, **fields: Any) -> dict[str, Any]:
        return {"type": f"response.{kind}", "sequence_number": next(numbers)} | fields

    status = answer["status"]
    if status not in ("completed", "incomplete", "failed"):
        raise LookupError(status)
    begun = answer | {"status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    yield event("created", response=begun)
    yield event("in_progress", response=begun)
    for index, item in enumerate(answer["output"]):
        where: dict[str, Any] = {"output_index": index}
        bare: dict[str, Any] = {"content": [], "arguments": "", "input": ""}
        emptied = {name: nothing for name, nothing in bare.items() if item.get(name)}
        yield event("output_item.added", item=item | emptied | {"status": "in_progress"}, **where)
        where["item_id"] = item.get("id") or ""
        for kind in ("arguments", "input"):
            if item.get(kind):
                name = f"{item['type']}_{kind}"
                yield event(f"{name}.delta", delta=item[kind], **where)
                yield event(f"{name}.done", **{kind: item[kind]}, **where)
        for part_index, part in enumerate(item.get("content") or ()):
            for kind, fields in _part_events(part):
                yield event(kind, content_index=part_index, **fields, **where)
        yield event("output_item.done", item=item, output_index=index)
    yield event(status, response=answer)


def _part_events(part: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What brings one part of a message: text, a refusal, or a thought."""
    name = "refusal" if part["type"] == "refusal" else "text"
    kind = "refusal" if name == "refusal" else part["type"]
    more = {"logprobs": part.get("logprobs") or []} if kind == "output_text" else {}
    yield "content_part.added", {"part": part | {name: ""}}
    yield f"{kind}.delta", {"delta": part[name]} | more
    yield f"{kind}.done", {name: part[name]} | more
    yield "content_part.done", {"part": part}


def _message_events(answer: dict[str, Any]) -> Events:
    """Messages: https://docs.anthropic.com/en/api/messages-streaming"""
    usage = answer["usage"]
    begun = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage | {"output_tokens": 0}}
    yield {"type": "message_start", "message": answer | begun}
    for index, block in enumerate(answer["content"]):
        deltas = list(_block_deltas(block))
        empty = {"text": "", "thinking": "", "signature": "", "input": {}}
        start = block | {name: value for name, value in empty.items() if name in block}
        yield {"type": "content_block_start", "index": index, "content_block": start}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    delta = {"stop_reason": answer["stop_reason"], "stop_sequence": answer.get("stop_sequence")}
    yield {"type": "message_delta", "delta": delta, "usage": usage}
    yield {"type": "message_stop"}


def _block_deltas(block: dict[str, Any]) -> Events:
    for name in ("text", "thinking", "signature"):
        if block.get(name):
            yield {"type": f"{name}_delta", name: block[name]}
    if "input" in block:
        yield {"type": "input_json_delta", "partial_json": msgspec.json.encode(block["input"]).decode()}
