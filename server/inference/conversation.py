"""What was said in a request and its answer, of any dialect: messages and a text, as feedback has them.

Only conversations of texts are kept: one with pictures, tools or several answers would come out as another.
"""

import re
from collections.abc import Iterator, Sequence

import msgspec

from server.client.routes import CHAT, MESSAGES, RESPONSES, Route
from server.inference import sse
from server.inference.json_values import objects
from server.inference.spoken_text import streamed_texts

KEEPING = (CHAT, MESSAGES, RESPONSES)
"""Routes whose requests are conversations."""
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
Turns = list[dict[str, str]]
_TOKEN = re.compile(
    rb'data: \{[^{}\[\]]*"choices":\[\{"index":0,"delta":\{"content":"([^"\\]*+(?:\\.[^"\\]*+)*+)"\},'
    rb'[^{}\[\]]*"finish_reason":null[^{}\[\]]*\}\][^{}\[\]]*\}\n\n'
)
"""How vLLM writes one more piece of a chat's answer: nearly all events, which need not be read as JSON."""


class NotKept(Exception):
    """Why the conversation is none that is kept: `not_text` or `asked_not_to`."""


class KeptConversation(msgspec.Struct, frozen=True):
    """One question with all that came before it, and its answer."""

    messages: Turns
    answer: str
    finish_reason: str | None


def conversation(route: Route, body: bytes, answer: bytes, *, streamed: bool) -> KeptConversation:
    """Raises NotKept. `answer` is the body that the client got, of a stream in chunks."""
    asked = _object(body)
    if asked.get("store") is False:
        raise NotKept("asked_not_to")
    messages = _asked(asked, route)
    text, reason = _streamed(unchunked(answer), route) if streamed else _whole(_object(answer), route)
    if not text.strip():
        raise NotKept("not_text")
    return KeptConversation(messages, text, reason)


def unchunked(data: bytes) -> bytes:
    """The body in whole chunks (RFC 9112, 7.1) of our own making."""
    parts, at = [], 0
    while (line := data.find(b"\r\n", at)) > 0:
        size = int(data[at:line], 16)
        parts.append(data[line + 2 : line + 2 + size])
        at = line + 2 + size + 2
    return b"".join(parts)


# -- what was asked -----------------------------------------------------------------------------------


def _asked(body: dict[str, object], route: Route) -> Turns:
    if body.get("n") not in (None, 1) or body.get("previous_response_id") or body.get("conversation"):
        raise NotKept("not_text")
    first, given = body.get("system"), body.get("messages")
    if route is RESPONSES:
        first, given = body.get("instructions"), body.get("input")
        given = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(given, list) or len(given) != len(objects(given)):
        raise NotKept("not_text")
    system = [{"role": "system", "content": _text(first)}] if first else []
    turns = system + [_turn(message) for message in objects(given)]
    if not turns or turns[-1]["role"] != "user":
        raise NotKept("not_text")
    return turns


def _turn(message: dict[str, object]) -> dict[str, str]:
    role = ROLES.get(str(message.get("role")))
    if role is None or message.get("tool_calls") or message.get("type", "message") != "message":
        raise NotKept("not_text")
    return {"role": role, "content": _text(message.get("content"))}


def _text(content: object) -> str:
    """A string or parts of text. Raises NotKept for anything else."""
    if isinstance(content, str):
        return content
    texts = [part.get("text") for part in objects(content) if "text" in str(part.get("type", ""))]
    if not isinstance(content, list) or len(texts) != len(content):
        raise NotKept("not_text")
    return "".join(str(text) for text in texts)


# -- what was answered --------------------------------------------------------------------------------


def _whole(answer: dict[str, object], route: Route) -> tuple[str, str | None]:
    if route is CHAT:
        choices = objects(answer.get("choices"))
        message = choices[0].get("message") if len(choices) == 1 else None
        if not isinstance(message, dict) or message.get("tool_calls"):
            raise NotKept("not_text")
        return _text(message.get("content")), _reason(choices[0].get("finish_reason"))
    if route is MESSAGES:
        return _said(objects(answer.get("content"))), _reason(answer.get("stop_reason"))
    items = objects(answer.get("output"))
    if any("call" in str(item.get("type")) for item in items):
        raise NotKept("not_text")
    parts = [part for item in items if item.get("type") == "message" for part in objects(item.get("content"))]
    return _said(parts), _reason(answer.get("status"))


def _said(parts: Sequence[dict[str, object]]) -> str:
    """The text of parts; what the model thought is no part of what it said. Raises NotKept."""
    kinds = {str(part.get("type")) for part in parts}
    if kinds - {"text", "output_text", "thinking", "redacted_thinking"}:
        raise NotKept("not_text")
    return "".join(str(part.get("text", "")) for part in parts if "text" in str(part.get("type")))


def _streamed(stream: bytes, route: Route) -> tuple[str, str | None]:
    texts: list[bytes] = []
    """As they stand between quotation marks in JSON, where joined halves of a character are one again."""
    reason: str | None = None
    for event in sse.each_event(stream):
        if (token := _TOKEN.fullmatch(event)) is not None:
            texts.append(token[1])
            continue
        payload = sse.event_json(event)
        if payload is None:
            continue
        if _calls_a_tool(payload):
            raise NotKept("not_text")
        said = [text for part, text in streamed_texts(payload, route) if _is_said(part, payload, route)]
        texts += [msgspec.json.encode(text)[1:-1] for text in said]
        reason = _reason_in(payload) or reason
    try:
        return msgspec.json.decode(b'"%b"' % b"".join(texts), type=str), reason
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotKept("not_text") from error


def _is_said(part: str, event: dict[str, object], route: Route) -> bool:
    if route is RESPONSES:
        return event.get("type") == "response.output_text.delta"
    return part.split(" ")[-1] in ("content", "text")


def _calls_a_tool(event: dict[str, object]) -> bool:
    deltas = (choice.get("delta") for choice in objects(event.get("choices")))
    block, item = event.get("content_block"), event.get("item")
    used = [block.get("type")] if isinstance(block, dict) else []
    used += [item.get("type")] if isinstance(item, dict) else []
    return any("tool_use" in str(kind) or "call" in str(kind) for kind in used) or any(
        isinstance(delta, dict) and delta.get("tool_calls") for delta in deltas
    )


def _reason_in(event: dict[str, object]) -> str | None:
    return next((found for found in map(_reason, _reasons(event)) if found is not None), None)


def _reasons(event: dict[str, object]) -> Iterator[object]:
    yield from (choice.get("finish_reason") for choice in objects(event.get("choices")))
    delta, response = event.get("delta"), event.get("response")
    if isinstance(delta, dict):
        yield delta.get("stop_reason")
    if isinstance(response, dict) and str(event.get("type")) in ("response.completed", "response.incomplete"):
        yield response.get("status")


def _reason(said: object) -> str | None:
    """In the words of chat completions: `stop` and `length`, or the engine's own."""
    if not isinstance(said, str):
        return None
    if said in ("end_turn", "stop_sequence", "completed"):
        return "stop"
    return "length" if said in ("max_tokens", "incomplete") else said


def _object(data: bytes) -> dict[str, object]:
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotKept("not_text") from error
    if not isinstance(found, dict):
        raise NotKept("not_text")
    return found
