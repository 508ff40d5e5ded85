"""Preference data: a prompt with a better (`chosen`) and a worse (`rejected`) answer, in the usual shapes.

- texts: `prompt|instruction|question (+ input|context, system), chosen, rejected` (Orca DPO, plain files)
- message lists: `chosen` and `rejected` hold the whole conversation, or the answer alone after a `prompt`
  list (UltraFeedback, TRL)
- turns: `conversations` and one `chosen` and one `rejected` turn (LLaMA-Factory)
- HH-RLHF: two texts `\\n\\nHuman: ...\\n\\nAssistant: ...` that part at the last answer
"""

import re
from collections.abc import Iterator
from typing import Any

from finetune.data.conversations import read_messages
from finetune.data.fields import (
    Message,
    Options,
    Record,
    Unusable,
    conversation,
    meta,
    pair,
    row,
    string,
)
from finetune.data.placeholders import without_placeholder

_QUESTIONS = ("instruction", "prompt", "question")
_HH_MARK = re.compile(r"\n\n(Human|Assistant):")


def is_pair(record: Record) -> bool:
    return all(isinstance(record.get(key), str | list | dict) for key in ("chosen", "rejected"))


def rows(record: Record, options: Options) -> Iterator[dict[str, Any]]:
    """One pair; without `options.pairs` the chosen answer as a row."""
    better, worse = _conversation(record, "chosen"), _conversation(record, "rejected")
    if better[:-1] != worse[:-1]:
        raise Unusable("chosen and rejected answer different conversations")
    said, other = conversation(better), conversation(worse)
    facts = {**options.meta, **record["meta"]} if isinstance(record.get("meta"), dict) else dict(options.meta)
    facts |= meta(Options(), record, ("id", "prompt_id"))
    given = without_placeholder(string(record, "context" if "context" in record else "input", required=False))
    category = record.get("category")
    if options.pairs:
        yield pair(
            said.instruction,
            said.response,
            other.response,
            facts,
            context=given,
            category=category,
            history=said.history,
        )
    else:
        yield row(
            said.instruction, said.response, facts, context=given, category=category, history=said.history
        )


def _conversation(record: Record, key: str) -> list[Message]:
    """The whole conversation that ends with this answer."""
    answer = record.get(key)
    if answer is None:
        raise Unusable(f"{key!r} is missing", broken=True)
    if isinstance(answer, str):
        if _HH_MARK.match(answer):
            return _hh_messages(answer)
        return [*_prompt(record), Message("assistant", answer.strip())]
    messages = read_messages([answer] if isinstance(answer, dict) else answer)
    if not messages or messages[-1].role != "assistant":
        raise Unusable(f"{key!r} does not end with the assistant's answer")
    if len(messages) > 1:
        return messages
    return [*_prompt(record), *messages]


def _prompt(record: Record) -> list[Message]:
    """What was said before the answer: system and history, and the question."""
    for key in ("conversations", "prompt", "messages"):
        if isinstance(record.get(key), list):
            return read_messages(record[key])
    question = next((key for key in _QUESTIONS if record.get(key) is not None), None)
    if question is None:
        raise Unusable("there is no prompt: none of " + ", ".join(_QUESTIONS), broken=True)
    system = string(record, "system", required=False)
    before = read_messages(record["history"]) if record.get("history") else []
    if system and not (before and before[0].role == "system"):
        before.insert(0, Message("system", system))
    return [*before, Message("user", string(record, question))]


def _hh_messages(text: str) -> list[Message]:
    parts = _HH_MARK.split(text)
    return [
        Message("user" if name == "Human" else "assistant", said.strip())
        for name, said in zip(parts[1::2], parts[2::2], strict=True)
    ]
