"""Token ids of texts that stand alone, and of texts that follow another."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from finetune.encoding.token_store import Array


def text_ids(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """Token ids of a text whose special tokens are spelt out in it: none is added."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def inner_ids(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """Token ids of a text in the middle of another. Llama's tokenizers put a space before a text's first
    word; so a line end, which is a token by itself, is put in front and its token removed again."""
    lead = text_ids(tokenizer, "\n")
    ids = text_ids(tokenizer, f"\n{text}")
    return ids[len(lead) :] if ids[: len(lead)] == lead else text_ids(tokenizer, text)


def token_ids(tokenizer: "PreTrainedTokenizerBase", tokens: Sequence[str]) -> list[int]:
    """The id of each token; the unknown token's id for one that is not in the vocabulary."""
    ids = tokenizer.convert_tokens_to_ids(list(tokens))
    assert isinstance(ids, list)
    return ids


def rendered(
    tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Mapping[str, object]], *, prompt: bool = False
) -> str:
    """A conversation as the tokenizer's template writes it; `prompt`: with the header of an answer at its
    end."""
    given = cast(list[dict[str, str]], messages)  # transformers' annotation; it takes any values
    text = tokenizer.apply_chat_template(given, tokenize=False, add_generation_prompt=prompt)
    assert isinstance(text, str)
    return text


def decoded(
    tokenizer: "PreTrainedTokenizerBase", ids: "Sequence[int] | Array", *, skip_special_tokens: bool = False
) -> str:
    """The text of one sequence of token ids."""
    text = tokenizer.decode(cast(list[int], ids), skip_special_tokens=skip_special_tokens)
    assert isinstance(text, str)
    return text
