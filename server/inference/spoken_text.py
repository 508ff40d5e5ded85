"""Which words of a request or an answer people read: what a moderation model is asked about.

Texts alone: pictures, sounds and the arguments of tool calls are not looked at.
"""

from collections.abc import Iterator

from server.client.routes import Route
from server.inference.json_values import objects

Spoken = tuple[str, str]
"""Which part of the answer a piece of text belongs to, such as the number of a choice; and the piece."""

_STREAMED = ("content", "reasoning_content", "reasoning", "refusal", "text")


def asked_texts(body: object) -> list[str]:
    """What the user says in a request of any dialect; not the system prompt, nor earlier answers."""
    if not isinstance(body, dict):
        return []
    found: list[str] = []
    for message in objects(body.get("messages")):
        if message.get("role") == "user":
            found += _texts(message.get("content"))
    found += _texts(body.get("prompt"))
    given = body.get("input")
    if isinstance(given, str):
        return [*found, given]
    for item in objects(given):
        if item.get("role") == "user":
            found += _texts(item.get("content"))
    return [text for text in found if text.strip()]


def answered_texts(answer: object) -> list[str]:
    """The texts of a whole answer of any dialect."""
    if not isinstance(answer, dict):
        return []
    found = _texts(answer.get("content"))
    for choice in objects(answer.get("choices")):
        found += _texts(choice.get("text"))
        message = choice.get("message")
        if isinstance(message, dict):
            for field in ("content", "reasoning_content", "reasoning", "refusal"):
                found += _texts(message.get(field))
    for item in objects(answer.get("output")):
        found += _texts(item.get("content")) + _texts(item.get("summary"))
    return [text for text in found if text.strip()]


def streamed_texts(event: object, route: Route) -> Iterator[Spoken]:
    """The pieces of text that one event of a stream brings."""
    if not isinstance(event, dict):
        return
    if route.dialect == "responses":
        if str(event.get("type", "")).endswith("text.delta") and isinstance(event.get("delta"), str):
            yield f"{event.get('item_id')} {event.get('content_index')}", event["delta"]
    elif route.dialect == "anthropic":
        yield from _pieces(event.get("delta"), event.get("index"), ("text", "thinking"))
    else:
        for choice in objects(event.get("choices")):
            delta = choice if "text" in choice else choice.get("delta")
            yield from _pieces(delta, choice.get("index"), _STREAMED)


def _pieces(holder: object, index: object, fields: tuple[str, ...]) -> Iterator[Spoken]:
    if not isinstance(holder, dict):
        return
    for field in fields:
        text = holder.get(field)
        if isinstance(text, str) and text:
            yield f"{index} {field}", text


def _texts(content: object) -> list[str]:
    """A string, strings, or parts with a `text`."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return []
    found = [
        one if isinstance(one, str) else one.get("text") if isinstance(one, dict) else None for one in content
    ]
    return [text for text in found if isinstance(text, str)]
