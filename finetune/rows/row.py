"""Dolly rows: what they hold, and the conversation that a row stands for."""

from collections.abc import Iterator
from typing import Literal, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from common.chat_message import ChatMessage
from common.template_facts import CONTEXT_MARK
from finetune.rows.categories import Category
from finetune.rows.fast_row import JsonPair, JsonRow, UnusableLine, check_row


class Call(BaseModel):
    """One call of a tool."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    arguments: dict[str, object] = Field(default_factory=dict)
    id: str = ""


class RowTurn(BaseModel):
    """One message of a row's history or steps."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str
    weight: Literal[0, 1] = 1
    """0: an answer that serves as context and is not learnt."""
    reasoning_content: str = ""
    tool_calls: tuple[Call, ...] = ()
    tool_call_id: str = ""
    name: str = ""


class Row(BaseModel):
    """One instruction and its answer, in databricks-dolly-15k's four fields plus optional ones.

    `finetune.rows.fast_row` decides what a valid row is, here and in files.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    instruction: str
    context: str = ""
    response: str
    category: Category
    history: tuple[RowTurn, ...] = ()
    """The turns before `instruction`: at most one system prompt, which comes first, then questions and
    answers."""
    meta: dict[str, object] = Field(default_factory=dict)
    """Facts about the row: `id`, `split`, source, licence. Never shown to the model."""
    tools: tuple[dict[str, object], ...] = ()
    """The tools that the assistant may call, as OpenAI's API describes them."""
    steps: tuple[RowTurn, ...] = ()
    """Tool calls and their results between instruction and response."""
    reasoning_content: str = ""
    """The assistant's thought before `response`."""
    tool_calls: tuple[Call, ...] = ()
    """Calls with which the conversation ends."""

    @model_validator(mode="after")
    def _checked(self) -> Self:
        _check(_as(JsonRow, self.model_dump(exclude={"context", "meta"})))
        return self

    def beyond_text(self) -> str:
        """What the row holds besides texts of system, user and assistant: `tools`, `reasoning` or ''."""
        turns = (*self.history, *self.steps)
        if self.tools or self.tool_calls or any(turn.tool_calls or turn.role == "tool" for turn in turns):
            return "tools"
        thinks = self.reasoning_content or any(turn.reasoning_content for turn in turns)
        return "reasoning" if thinks else ""


class Pair(BaseModel):
    """One prompt with a better and a worse answer, for preference training (DPO)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    instruction: str
    context: str = ""
    chosen: str
    rejected: str
    category: Category | None = None
    history: tuple[RowTurn, ...] = ()
    meta: dict[str, object] = Field(default_factory=dict)
    tools: tuple[dict[str, object], ...] = ()
    steps: tuple[RowTurn, ...] = ()

    @field_validator("category", mode="before")
    @classmethod
    def _none_said(cls, value: object) -> object:
        return None if value == "" else value

    @model_validator(mode="after")
    def _checked(self) -> Self:
        values = self.model_dump(exclude={"context", "meta", "chosen"})
        _check(_as(JsonPair, {**values, "response": self.chosen, "category": self.category or ""}))
        return self


def _as(kind: type[JsonRow], values: dict[str, object]) -> JsonRow:
    return msgspec.convert(values, kind)


def _check(row: JsonRow) -> None:
    try:
        check_row(row)
    except UnusableLine as error:
        raise ValueError(error.detail) from error


def to_messages(row: Row) -> list[ChatMessage]:
    """The row as the chat messages that a client would send; the last one is the answer.

    Tool calls are in OpenAI's form, with their arguments as objects.
    """
    question = row.instruction
    if row.context.strip():
        # Dolly's own training format keeps the context inside the instruction's turn.
        question = f"{row.instruction}{CONTEXT_MARK}{row.context}"
    answer = RowTurn.model_construct(
        role="assistant",
        content=row.response.strip(),
        reasoning_content=row.reasoning_content,
        tool_calls=row.tool_calls,
    )
    asked = RowTurn.model_construct(role="user", content=question)
    return list(_messages((*row.history, asked, *row.steps, answer)))


def learnt_messages(row: Row) -> list[int]:
    """Indices in `to_messages(row)` of the answers that are learnt."""
    turns = (*row.history, None, *row.steps)
    learnt = [n for n, turn in enumerate(turns) if turn and turn.role == "assistant" and turn.weight]
    return [*learnt, len(turns)]


def _messages(turns: tuple[RowTurn, ...]) -> Iterator[ChatMessage]:
    made = 0
    waiting: list[tuple[str, str]] = []  # id and tool of calls whose results are still to come
    for turn in turns:
        message: ChatMessage = {"role": turn.role, "content": turn.content}
        if turn.reasoning_content:
            message["reasoning_content"] = turn.reasoning_content
        if turn.tool_calls:
            # Nine letters and digits: some templates, such as Mistral's, accept no other id.
            ids = [
                (call.id or f"call{made + place:05d}", call.name)
                for place, call in enumerate(turn.tool_calls, start=1)
            ]
            calls = [
                {"id": call_id, "type": "function", "function": {"name": name, "arguments": call.arguments}}
                for (call_id, name), call in zip(ids, turn.tool_calls, strict=True)
            ]
            made += len(calls)
            waiting = ids
            message["tool_calls"] = calls
            message["content"] = turn.content or None
        if turn.role == "tool":
            message |= _result_of(turn, waiting)
        yield message


def _result_of(turn: RowTurn, waiting: list[tuple[str, str]]) -> dict[str, str]:
    """The message fields that say which call a tool's result answers; removes that call from `waiting`."""
    place = next((n for n, (call_id, _) in enumerate(waiting) if call_id == turn.tool_call_id), 0)
    call_id, tool = waiting.pop(place) if waiting else ("", "")
    return {"tool_call_id": turn.tool_call_id or call_id, "name": turn.name or tool}
