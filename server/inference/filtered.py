"""How an answer says that its text was withheld.

OpenAI and vLLM's clients know `finish_reason: "content_filter"`, the Responses API an incomplete response
(https://platform.openai.com/docs/api-reference/responses/object), Anthropic's the stop reason `refusal`.
"""

import msgspec

from server.client.routes import Route
from server.inference.json_values import objects
from server.inference.sse import DONE

_KEPT = ("id", "object", "created", "model")


def filtered_answer(answer: dict[str, object], route: Route) -> dict[str, object]:
    """A whole answer without its texts."""
    if route.dialect == "anthropic":
        return answer | {"content": [], "stop_reason": "refusal", "stop_sequence": None}
    if route.dialect == "responses":
        return answer | _incomplete({"output": []})
    choices = []
    for choice in objects(answer.get("choices")):
        kept: dict[str, object] = {
            "index": choice.get("index", 0),
            "logprobs": None,
            "finish_reason": "content_filter",
        }
        kept |= {"text": ""} if "text" in choice else {"message": {"role": "assistant", "content": ""}}
        choices.append(kept)
    return answer | {"choices": choices}


def filtered_end(events: list[dict[str, object]], route: Route) -> bytes:
    """The events that end a stream; `events` are the first and the last that it has had."""
    first, last = (events[0], events[-1]) if events else ({}, {})
    if route.dialect == "anthropic":
        stop = {"stop_reason": "refusal", "stop_sequence": None}
        closing: list[dict[str, object]] = [
            {"type": "content_block_stop", "index": last.get("index", 0)},
            {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 0}},
            {"type": "message_stop"},
        ]
        return b"".join(_named(event) for event in closing)
    if route.dialect == "responses":
        begun = first.get("response")
        response = (begun if isinstance(begun, dict) else {}) | _incomplete({})
        number = last.get("sequence_number", 0)
        number = number + 1 if isinstance(number, int) else 0
        return _named({"type": "response.incomplete", "response": response, "sequence_number": number})
    choices_seen = [choice for event in events for choice in objects(event.get("choices"))]
    indexes = {index for one in choices_seen if isinstance(index := one.get("index", 0), int)}
    body: dict[str, object] = (
        {"text": ""} if "completions" in route.path and "chat" not in route.path else {"delta": {}}
    )
    choices = [
        {"index": index, **body, "logprobs": None, "finish_reason": "content_filter"}
        for index in sorted(indexes or {0})
    ]
    kept = {name: first[name] for name in _KEPT if name in first}
    return b"data: " + msgspec.json.encode(kept | {"choices": choices}) + b"\n\n" + DONE


def _incomplete(more: dict[str, object]) -> dict[str, object]:
    return {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}} | more


def _named(event: dict[str, object]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), msgspec.json.encode(event))
