"""From rows to token ids, and which of them the loss covers: what the assistant says and its end token."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from common.errors import UserError
from finetune.rows import Row, to_messages

IGNORED = -100
"""Label of a token that the loss leaves out (torch's cross_entropy)."""


@dataclass(frozen=True)
class Example:
    """One training sequence."""

    input_ids: list[int]
    labels: list[int]
    """The same ids where they are learnt, IGNORED elsewhere."""
    messages: list[dict[str, str]] | None = None
    """The conversation it came from; None for plain text."""

    def features(self) -> dict[str, list[int]]:
        """What Trainer's collator takes."""
        return {"input_ids": self.input_ids, "labels": self.labels}


def encode_row(tokenizer: Any, row: Row) -> Example:
    """Render and tokenise a row with the tokenizer's chat template.

    Raises UserError when the row or the template would teach something else than the answers.
    """
    messages = to_messages(row)
    _refuse_special_tokens(tokenizer, messages, row)
    encoded = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    ids = list(encoded["input_ids"])
    mask = encoded["assistant_masks"]
    labels = [token if learnt else IGNORED for token, learnt in zip(ids, mask, strict=True)]
    _check_answer(tokenizer, messages, ids, labels, row)
    return Example(ids, labels, messages)


def encode_text(tokenizer: Any, text: str) -> Example:
    """Plain text: every token and the end token are learnt."""
    ids = [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    return Example(ids, list(ids))


def prompt_ids(tokenizer: Any, messages: list[dict[str, str]]) -> list[int]:
    """Token ids of everything before the answer, by the way that an engine takes: render, then tokenise."""
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def within_length(examples: Iterable[Example], limit: int) -> tuple[list[Example], int]:
    """The examples of at most `limit` tokens, and how many were longer. None is ever cut."""
    everything = list(examples)
    fitting = [example for example in everything if len(example.input_ids) <= limit]
    return fitting, len(everything) - len(fitting)


def _refuse_special_tokens(tokenizer: Any, messages: list[dict[str, str]], row: Row) -> None:
    """A special token spelt out in a text becomes that token, so a row could end its own answer early."""
    for message in messages:
        for token in tokenizer.all_special_tokens:
            if token in message["content"]:
                raise UserError(f"The row {_name(row)} contains the special token {token} as text.")


def _check_answer(
    tokenizer: Any, messages: list[dict[str, str]], ids: list[int], labels: list[int], row: Row
) -> None:
    prompt = prompt_ids(tokenizer, messages[:-1])
    if ids[: len(prompt)] != prompt:
        raise UserError(
            f"The row {_name(row)}: its prompt alone gives other tokens than its prompt with the answer.",
            hint="The chat template must end a prompt where a token ends.",
        )
    if labels[len(prompt) :] != ids[len(prompt) :] or (labels[len(prompt) - 1] != IGNORED):
        raise UserError(
            "The chat template's {% generation %} marks do not cover exactly the answer and its end token."
        )
    if ids[-1] != tokenizer.eos_token_id:
        raise UserError(
            f"The chat template ends an answer without {tokenizer.eos_token}; the model would never stop."
        )


def _name(row: Row) -> str:
    return str(row.meta.get("id") or repr(row.instruction[:40]))
