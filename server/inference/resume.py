"""Going on with a cut chat stream at another worker: opt-in, for one plain choice.

The new worker is asked to continue the assistant's message (vLLM's `continue_final_message`), and its
events are made to look like those of the first: same id and time, counts that cover both parts.
"""

from dataclasses import dataclass, field

import msgspec

from common.turns import Turns
from server.client.request import RequestHead
from server.client.routes import ROUTES, Route
from server.inference import sse
from server.inference.json_values import objects
from server.inference.usage import counts_of

KEPT_BYTES = 4 * 1024 * 1024
"""A stream with more events than this is not resumed: they are not kept."""
_LIMITS = ("max_completion_tokens", "max_tokens")


class NotResumable(Exception):
    """What was sent so far cannot be continued by another worker."""


def may_resume(route: Route, head: RequestHead) -> bool:
    """Whether a cut answer to this request could be continued: one choice of plain text."""
    return (
        route is ROUTES["/v1/chat/completions"]
        and head.stream is True
        and head.n in (None, 1)
        and not head.tools
        and not head.logprobs
    )


class History:
    """The events of one stream as its engines sent them, as long as another worker could go on from them."""

    __slots__ = ("events", "whole")

    def __init__(self) -> None:
        self.events = bytearray()
        self.whole = True
        """False once there were too many events, or one that cannot be continued."""

    def keep(self, block: bytes) -> None:
        """These events came, too."""
        if self.whole and len(self.events) + len(block) <= KEPT_BYTES:
            self.events += block
        else:
            self.give_up()

    def give_up(self) -> None:
        """No other worker can continue this stream any more."""
        self.whole = False
        self.events.clear()


@dataclass(frozen=True, slots=True)
class Resumption:
    """How to go on, and how to make the rest fit to what the client has."""

    body: bytes
    """The request for the next worker."""
    first: dict[str, object] = field(default_factory=dict)
    """`id`, `created` and `model` of the events that the client has."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Of the part that was sent."""
    finished: bool = False
    """All text and the finish_reason were sent: nothing is to be asked, only the end is missing."""

    def rewrite(self, block: bytes) -> bytes:
        """Whole events of the next worker as the client should see them."""
        return b"".join(map(self._rewrite_event, sse.split_events(block)))

    def _rewrite_event(self, event: bytes) -> bytes:
        payload = sse.event_json(event)
        if payload is None or "error" in payload:
            return event
        payload |= self.first
        for choice in objects(payload.get("choices")):
            delta = choice.get("delta")
            if isinstance(delta, dict):
                delta.pop("role", None)
        usage = payload.get("usage")
        if isinstance(usage, dict):
            counts = counts_of(usage)
            usage["prompt_tokens"] = self.prompt_tokens or counts.prompt or 0
            usage["completion_tokens"] = (counts.completion or 0) + self.completion_tokens
            usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
        return b"data: " + msgspec.json.encode(payload) + b"\n\n"


@dataclass(slots=True)
class _SoFar:
    """What the events of a cut stream have said."""

    text: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finished: bool = False
    first: dict[str, object] = field(default_factory=dict)

    def add(self, payload: dict[str, object]) -> None:
        """One more event. Raises NotResumable."""
        names = ("id", "created", "model")
        self.first = self.first or {name: payload[name] for name in names if name in payload}
        counts = counts_of(payload.get("usage"))
        self.prompt_tokens = counts.prompt or self.prompt_tokens
        self.completion_tokens = counts.completion or self.completion_tokens
        for choice in objects(payload.get("choices")):
            delta = choice.get("delta")
            delta = delta if isinstance(delta, dict) else {}
            if any(delta.get(part) for part in ("tool_calls", "reasoning", "reasoning_content", "refusal")):
                raise NotResumable
            piece = delta.get("content") or ""
            if not isinstance(piece, str):
                raise NotResumable
            self.text += piece
            if counts.completion is None and piece:
                self.completion_tokens += 1
            self.finished = self.finished or choice.get("finish_reason") is not None


async def plan_resumption(body: bytes, events: bytes) -> Resumption:
    """`body` is what the cut worker was asked, `events` are those that came. Lets others run meanwhile.
    Raises NotResumable."""
    known = _SoFar()
    turns = Turns()
    for event in sse.each_event(events):
        if turns.due():
            await turns.give_way()
        payload = sse.event_json(event)
        if payload is not None:
            known.add(payload)
    tokens = known.prompt_tokens, known.completion_tokens
    if known.finished:
        return Resumption(b"", known.first, *tokens, finished=True)
    asked = msgspec.json.decode(body)
    if known.text:
        _ask_to_go_on(asked, known)
    return Resumption(msgspec.json.encode(asked), known.first, *tokens)


def _ask_to_go_on(asked: dict[str, object], known: _SoFar) -> None:
    """Make a request ask for the rest of its answer. Raises NotResumable."""
    given = asked.get("messages")
    messages = objects(given)
    if not isinstance(given, list) or len(given) != len(messages):
        raise NotResumable
    if asked.get("continue_final_message"):
        begun = messages[-1].get("content") if messages else None
        if not isinstance(begun, str):
            raise NotResumable
        messages[-1] = messages[-1] | {"content": begun + known.text}
    else:
        messages.append({"role": "assistant", "content": known.text})
    asked["messages"] = messages
    asked |= {"add_generation_prompt": False, "continue_final_message": True}
    for name in _LIMITS:
        limit = asked.get(name)
        if isinstance(limit, int):
            asked[name] = limit - known.completion_tokens
            if limit <= known.completion_tokens:
                raise NotResumable


def closing_events(resumption: Resumption, counts_wanted: bool) -> bytes:
    """The end of a stream whose text and finish_reason have all been sent."""
    usage = {
        "prompt_tokens": resumption.prompt_tokens,
        "completion_tokens": resumption.completion_tokens,
        "total_tokens": resumption.prompt_tokens + resumption.completion_tokens,
    }
    event = {"object": "chat.completion.chunk", "choices": [], "usage": usage} | resumption.first
    counts = b"data: " + msgspec.json.encode(event) + b"\n\n" if counts_wanted else b""
    return counts + sse.DONE
