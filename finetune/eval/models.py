"""What an evaluation asks of a model, wherever it runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from common.chat_message import ChatMessage

Messages = list[ChatMessage]
"""A conversation that ends with the user's message."""


@dataclass(frozen=True)
class GeneratedAnswer:
    """One answer."""

    text: str
    finished: bool
    """The model ended it itself; False when it was cut at the limit."""
    fits: bool = True
    """False when the conversation is longer than the model's context; `text` is "" then."""


class EvalModel(Protocol):
    """A checkpoint in this process, or a served model."""

    @property
    def name(self) -> str:
        """As shown in reports."""
        ...

    @property
    def source(self) -> str:
        """`checkpoint` or `served`."""
        ...

    def answers(
        self, conversations: Sequence[Messages], max_tokens: int, temperature: float = 0.0
    ) -> Iterator[GeneratedAnswer]:
        """An answer to each conversation, in order; greedy at temperature 0. Raises UserError."""
        ...

    def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> Iterator[list[float] | None]:
        """For each sequence of token ids the log likelihood (nats) of every token but the first, or None when
        it is longer than the model's context. Raises UserError."""
        ...
