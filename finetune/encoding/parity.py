"""Proof that a checkpoint on disk gives, token for token, what training saw."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from common.errors import UserError
from finetune.encoding.encode import Example, prompt_ids
from finetune.models.adapter import Probe

PROBES = 32
"""Training sequences that are kept for the check."""


def make_probes(tokenizer: Any, examples: Sequence[Example]) -> list[Probe]:
    """Conversations out of `examples`, evenly spread, so that every kind of row is among them."""
    asked = [(example, example.messages) for example in examples if example.messages]
    return [
        Probe(
            messages=messages,
            input_ids=example.input_ids,
            prompt_tokens=len(prompt_ids(tokenizer, messages[:-1])),
        )
        for example, messages in asked[:: -(-len(asked) // PROBES) or 1]
    ]


def check_tokens(directory: Path, probes: Sequence[Probe]) -> None:
    """Read tokenizer and template as an engine does, from the files, and compare. Raises UserError."""
    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    for probe in probes:
        text = tokenizer.apply_chat_template(probe.messages, tokenize=False)
        whole = tokenizer(text, add_special_tokens=False)["input_ids"]
        asked = prompt_ids(tokenizer, probe.messages[:-1])
        if whole != probe.input_ids or asked != probe.input_ids[: probe.prompt_tokens]:
            raise UserError(
                "The checkpoint's tokenizer and chat template give other tokens than training saw.",
                hint="The base or the template has changed since; train again.",
            )
