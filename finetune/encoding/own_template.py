"""Which tokens of a conversation are learnt under any chat template, found from the prompts that an engine
would see.

For each answer an engine tokenises one prompt: the messages before it, rendered with the header that begins
an answer. What is learnt is the answer's own text after that prompt, up to the first token at which the
engine stops. No model is treated specially; an answer for which this cannot be shown exactly is refused.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from common.chat_message import ChatMessage
from common.template_rendering import ChatTemplate, TemplateRefusal
from common.thought_marks import closes_thought, end_of_thought, opened_thought
from finetune.encoding.text_ids import inner_ids, text_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class NotLearnable(Exception):
    """This answer cannot be learnt exactly; the text says why, as the end of a sentence."""


@dataclass(frozen=True)
class OwnTemplate:
    """A tokenizer and a chat template as an engine uses them."""

    tokenizer: "PreTrainedTokenizerBase"
    template: ChatTemplate
    stops: frozenset[int]
    """Tokens at which the engine ends an answer."""
    day: date | None = None
    """The date that the template is told is today's."""
    closes_thoughts: bool = False
    """Whether an answer without a thought learns to close at once the thought that its prompt opens."""

    def render(self, conversation: "EngineConversation", end: int, *, prompt: bool) -> str:
        """The first `end` messages as text; `prompt`: with the header of an answer behind them. Raises
        NotLearnable."""
        try:
            return self.template.render(
                conversation.messages[:end],
                conversation.tools,
                prompt=prompt,
                day=self.day,
                kwargs=conversation.kwargs,
            )
        except TemplateRefusal as error:
            raise NotLearnable(f"the chat template refuses it: {error}") from error

    def ids(self, text: str) -> list[int]:
        """The token ids that an engine makes of a prompt."""
        return text_ids(self.tokenizer, text)


@dataclass(frozen=True)
class EngineConversation:
    """Messages in OpenAI's form (arguments of tool calls as objects), with tools and template variables."""

    messages: Sequence[ChatMessage]
    tools: Sequence[Mapping[str, object]] = ()
    kwargs: Mapping[str, object] = field(default_factory=dict)
    """Further variables of the template, such as a switch for thinking."""

    def until(self, end: int, *more: ChatMessage) -> "EngineConversation":
        """The conversation of the first `end` messages, followed by `more`."""
        return EngineConversation([*self.messages[:end], *more], self.tools, self.kwargs)


@dataclass(frozen=True)
class EngineAnswer:
    """One answer as the engine would generate it."""

    index: int
    """Index of its message in the conversation."""
    prompt: str
    text: str
    """The text after the prompt, with the token that ends it."""
    prompt_ids: list[int]
    ids: list[int]
    """Token ids of `text`: all of them are learnt."""
    trims: bool
    """Whether the template strips white space from the ends of the answer."""


def answer_at(own: OwnTemplate, conversation: EngineConversation, index: int) -> EngineAnswer:
    """The answer in message `index`. Raises NotLearnable."""
    prompt = own.render(conversation, index, prompt=True)
    message = conversation.messages[index]
    pieces = list(_pieces(message))
    if not pieces:
        raise NotLearnable("the answer is empty")
    if reasoning := message.get("reasoning_content"):
        # Some templates look for the thought under this name. An engine never passes it on in a prompt, so
        # that only the answer itself gets it.
        own_turn = {**message, "thinking": reasoning}
        conversation = EngineConversation(
            [*conversation.messages[:index], own_turn, *conversation.messages[index + 1 :]],
            conversation.tools,
            conversation.kwargs,
        )
    tail = _answer_behind(own, conversation, index, prompt)
    prompt_ids, ids = own.ids(prompt), inner_ids(own.tokenizer, tail)
    length = next((n for n, token in enumerate(ids, start=1) if token in own.stops), 0)
    if not length:
        tail += _next_turns_token(own, conversation, index)
        ids = inner_ids(own.tokenizer, tail)
        length = next(n for n, token in enumerate(ids, start=1) if token in own.stops)
    text = _cut(own, prompt_ids, ids, length, prompt + tail)[len(prompt) :]
    _require(text, pieces, "the engine would stop before")
    content = message.get("content") or ""
    return EngineAnswer(index, prompt, text, prompt_ids, ids[:length], trims=content not in text)


def _answer_behind(own: OwnTemplate, conversation: EngineConversation, index: int, prompt: str) -> str:
    """The turn's text after `prompt`, with everything that the message says and, where `prompt` opens a
    thought, the end of that thought. Raises NotLearnable."""
    thought = opened_thought(prompt)
    pieces = list(_pieces(conversation.messages[index]))
    try:
        tail = _tail(own, conversation, index, prompt)
        _require(tail, pieces, "the chat template drops")
        if thought is not None and not closes_thought(tail, thought):
            raise NotLearnable("the row does not close it")
    except NotLearnable as error:
        if thought is None:
            raise
        if not own.closes_thoughts or conversation.messages[index].get("reasoning_content"):
            raise NotLearnable(f"the prompt opens a thought ({thought}), and {error}") from error
        tail = _closed_at_once(own, conversation, index, prompt, thought)
        _require(tail, pieces, "the chat template drops")
    return tail


def _closed_at_once(
    own: OwnTemplate, conversation: EngineConversation, index: int, prompt: str, thought: str
) -> str:
    """The turn's text with an empty thought in front, written as the template writes thoughts; where it
    writes none, the end-of-thought mark on a line of its own with an empty line behind it."""
    mark = "\u241fthought\u241f"
    message = {**conversation.messages[index], "reasoning_content": mark, "thinking": mark}
    try:
        tail = _tail(own, conversation.until(index, message), index, prompt)
    except NotLearnable:
        tail = ""
    if tail.count(mark) == 1 and closes_thought(tail, thought):
        return tail.replace(mark, "")
    opened = prompt.rindex(thought)
    blanks = prompt[opened + len(thought) :]
    plain = _tail(own, conversation, index, prompt[:opened])
    return f"{'' if blanks else chr(10)}{end_of_thought(thought)}\n\n{plain.lstrip()}"


def _tail(own: OwnTemplate, conversation: EngineConversation, index: int, prompt: str) -> str:
    """The turn's text after the engine's prompt. Raises NotLearnable where the two do not meet."""
    full = own.render(conversation, index + 1, prompt=False)
    if full.startswith(prompt):
        return full[len(prompt) :]
    # The finished conversation does not begin with the engine's prompt: the template rewrites past turns, or
    # writes another header than the prompt's. Rendered with marks in place of what the message says, the text
    # shows where the turn begins.
    marked, first = _marked(own, conversation, index)
    place = marked.find(first)
    before = own.render(conversation, index, prompt=False)
    header = prompt[len(before) :] if prompt.startswith(before) else ""
    start = marked.rfind(header, 0, place) + len(header) if header and header in marked[:place] else -1
    kinds = [kind for kind, _text in _pieces(conversation.messages[index])]
    if start < 0 and "reasoning" not in kinds:
        start = _behind(prompt, marked[:place], str(conversation.messages[index - 1].get("content") or ""))
        if kinds == ["content"] and marked[start:place].strip():
            start = -1
    if place < 0 or start < 0 or full[:start] != marked[:start]:
        raise NotLearnable("what the engine's prompt begins is not how the finished turn begins")
    return full[start:]


def _behind(prompt: str, before: str, asked: str) -> int:
    """The offset in `before` (the rendered text up to an answer) that comes right after the ending of
    `prompt`; -1 where `before` does not contain that ending.

    asked: the last message of the prompt. What stands in front of it may differ from the finished turn.
    """
    text = prompt.rstrip()
    question = text.rfind(asked.strip()) if asked.strip() else -1
    ending = text[max(question, len(text) - ENDING, 0) :]
    place = before.rfind(ending)
    if not ending or place < 0:
        return -1
    blanks = prompt[len(text) :]
    start = place + len(ending)
    return start + len(blanks) if before.startswith(blanks, start) else start


ENDING = 12
"""How many of a prompt's last characters must stand before an answer; fewer where the question is near."""


def _marked(own: OwnTemplate, conversation: EngineConversation, index: int) -> tuple[str, str]:
    """(the conversation's text with a mark in place of each piece of the turn, the mark that comes first)."""
    message = dict(conversation.messages[index])
    marks: list[str] = []

    def mark() -> str:
        marks.append(f"\u241f{len(marks)}\u241f")
        return marks[-1]

    for kind in ("reasoning_content", "content"):
        if message.get(kind):
            message[kind] = mark()
            if "thinking" in message and kind == "reasoning_content":
                message["thinking"] = message[kind]
    if calls := message.get("tool_calls"):
        message["tool_calls"] = [{**call, "function": {**call["function"], "name": mark()}} for call in calls]
    text = own.render(conversation.until(index, message), index + 1, prompt=False)
    return text, min(marks, key=lambda each: text.find(each) % (len(text) + 1))


def _next_turns_token(own: OwnTemplate, conversation: EngineConversation, index: int) -> str:
    """The first token of the next turn, for templates that end an answer with nothing else. Raises
    NotLearnable unless the engine stops at it."""
    message = conversation.messages[index]
    follow: ChatMessage = {"role": "user", "content": "x"}
    if calls := message.get("tool_calls"):
        call = calls[0]
        follow = {"role": "tool", "content": "x", "name": call["function"]["name"]}
        follow |= {"tool_call_id": call["id"]} if call.get("id") else {}
    if index + 1 < len(conversation.messages) and conversation.messages[index + 1]["role"] != "assistant":
        follow = conversation.messages[index + 1]
    longer = conversation.until(index + 1, follow)
    full = own.render(conversation, index + 1, prompt=False)
    text = own.render(longer, index + 2, prompt=False)
    if not text.startswith(full):
        # The template rewrites a past turn, but both texts are the same from its last piece on.
        last = list(_pieces(message))[-1][1].strip()
        place, other = full.rfind(last), text.rfind(last)
        if place < 0 or other < 0 or not text[other:].startswith(full[place:]):
            raise NotLearnable(NO_STOP)
        text, full = text[other:], full[place:]
    begins = inner_ids(own.tokenizer, text[len(full) :])[:1]
    if not begins or begins[0] not in own.stops:
        raise NotLearnable(NO_STOP)
    return str(own.tokenizer.convert_ids_to_tokens(begins[0]))


NO_STOP = "nothing at which the engine stops ends the turn"


def _cut(own: OwnTemplate, prompt_ids: list[int], ids: list[int], length: int, text: str) -> str:
    """`text` up to and with the token that ends it. Raises NotLearnable unless `ids` decode to that text."""
    decode = own.tokenizer.decode
    whole = own.ids(text)
    if decode([*prompt_ids, *ids]) != decode(whole):
        raise NotLearnable("the prompt alone gives other tokens than the prompt with its answer")
    if length == len(ids):
        return text
    stop = str(own.tokenizer.convert_ids_to_tokens(ids[length - 1]))
    left = sum(token == ids[length - 1] for token in ids[length:])
    place = len(text)
    for _ in range(left + 1):
        place = text.rfind(stop, 0, place)
    if place < 0:
        raise NotLearnable("the token at which the engine stops does not stand in the text")
    return text[: place + len(stop)]


def _pieces(message: ChatMessage) -> Iterator[tuple[str, str]]:
    """(kind, text) for everything that an answer says: thought, content, calls."""
    if message.get("reasoning_content"):
        yield "reasoning", message["reasoning_content"]
    if message.get("content"):
        yield "content", message["content"]
    for call in message.get("tool_calls") or ():
        yield "tool name", call["function"]["name"]
        for value in _leaves(call["function"]["arguments"]):
            yield "tool argument", value


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _leaves(each)
    elif isinstance(value, list):
        for each in value:
            yield from _leaves(each)
    else:
        yield value if isinstance(value, str) else json.dumps(value)


def _require(text: str, pieces: Sequence[tuple[str, str]], what: str) -> None:
    """Raises NotLearnable, naming the kinds of pieces that are missing, unless `text` has all of them in
    their order."""
    gone, place = [], 0
    for kind, piece in pieces:
        found = _find(text, piece.strip(), 0 if kind == "tool argument" else place)
        if found < 0:
            gone.append(kind)
        elif kind != "tool argument":
            place = found
    if gone:
        raise NotLearnable(f"{what} its {', '.join(dict.fromkeys(gone))}")


def _find(text: str, piece: str, start: int) -> int:
    """The offset of `piece` in `text`, as it is or as JSON or Python write it; -1 where it is absent."""
    forms = [piece, json.dumps(piece, ensure_ascii=False)[1:-1]]
    forms += {"true": ["True"], "false": ["False"], "null": ["None"]}.get(piece, [])
    return next((place for form in forms if (place := text.find(form, start)) >= 0), -1)
