"""Dolly rows: what the files look like, and the conversation a row stands for."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from finetune.rows.categories import Category
from finetune.rows.fast_row import JsonPair, JsonRow, JsonTurn, UnusableLine, check_row


class Turn(BaseModel):
    """One earlier message of a conversation."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    role: Literal["system", "user", "assistant"]
    content: str
    weight: Literal[0, 1] = 1
    """0: an answer that is context alone and is not learnt."""


class Row(BaseModel):
    """One instruction and its answer, in databricks-dolly-15k's four fields plus two optional ones.

    `finetune.rows.fast_row` says what a row is, here and in files.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    instruction: str
    context: str = ""
    response: str
    category: Category
    history: tuple[Turn, ...] = ()
    """What was said before `instruction`: a system prompt at most once and first, then pairs."""
    meta: dict[str, Any] = Field(default_factory=dict)
    """Facts about the row: `id`, `split`, source, licence. Never shown to the model."""

    @model_validator(mode="after")
    def _checked(self) -> Self:
        _check(JsonRow(self.instruction, self.response, self.category, history=_json_turns(self.history)))
        return self


class Pair(BaseModel):
    """One prompt with a better and a worse answer, for preference training (DPO)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    instruction: str
    context: str = ""
    chosen: str
    rejected: str
    category: Category | None = None
    history: tuple[Turn, ...] = ()
    meta: dict[str, Any] = Field(default_factory=dict)

    @field_validator("category", mode="before")
    @classmethod
    def _none_said(cls, value: Any) -> Any:
        return None if value == "" else value

    @model_validator(mode="after")
    def _checked(self) -> Self:
        turns = _json_turns(self.history)
        _check(
            JsonPair(
                self.instruction, self.chosen, self.category or "", history=turns, rejected=self.rejected
            )
        )
        return self


def _json_turns(history: tuple[Turn, ...]) -> list[JsonTurn]:
    return [JsonTurn(turn.role, turn.content, turn.weight) for turn in history]


def _check(row: JsonRow) -> None:
    try:
        check_row(row)
    except UnusableLine as error:
        raise ValueError(error.detail) from error


def to_messages(row: Row) -> list[dict[str, str]]:
    """The row as chat messages, the way a client would send them; the last one is the answer."""
    question = row.instruction
    if row.context.strip():
        # Dolly's own training format keeps the context inside the instruction's turn.
        question = f"{row.instruction}\n\nInput:\n{row.context}"
    history = [{"role": turn.role, "content": turn.content} for turn in row.history]
    return [
        *history,
        {"role": "user", "content": question},
        {"role": "assistant", "content": row.response.strip()},
    ]
