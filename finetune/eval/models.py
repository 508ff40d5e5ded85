"""What an evaluation needs of a model, wherever it runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from common.chat_message import ChatMessage

Messages = list[ChatMessage]
"""A conversation whose last message is the user's."""


@dataclass(frozen=True)
class GeneratedAnswer:
    """An answer that a model generated."""

    text: str
    finished: bool
    """True when the model ended it by itself; False when it was cut at the token limit."""
    fits: bool = True
    """False when the conversation is longer than the model's context; `text` is then ""."""


class EvalModel(Protocol):
    """A checkpoint in this process, or a served model."""

    @property
    def name(self) -> str:
        """The model's name in reports."""
        ...

    @property
    def source(self) -> str:
        """`checkpoint` or `served`."""
        ...

    def answers(
        self, conversations: Sequence[Messages], max_tokens: int, temperature: float = 0.0
    ) -> Iterator[GeneratedAnswer]:
        """Yield an answer to each conversation, in order; greedy at temperature 0. Raises UserError."""
        ...

    def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> Iterator[list[float] | None]:
        """Yield for each sequence of token ids the log likelihood (nats) of every token but the first, or
        None when the sequence is longer than the model's context. Raises UserError."""
        ...
