"""Token ids of texts: of one that stands alone, and of one that follows another."""

from typing import Any


def text_ids(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text that has its special tokens spelt out."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def inner_ids(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text that something precedes: Llama's tokenizers put a space before a text's first
    word, so a line end, which is a token by itself, stands there and is taken away again."""
    lead = text_ids(tokenizer, "\n")
    ids = text_ids(tokenizer, f"\n{text}")
    return ids[len(lead) :] if ids[: len(lead)] == lead else text_ids(tokenizer, text)
