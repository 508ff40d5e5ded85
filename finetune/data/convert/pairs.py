"""Preference data: a prompt with a better (`chosen`) and a worse (`rejected`) answer, in the usual shapes.

- texts: `prompt|instruction|question (+ input|context, system), chosen, rejected` (Orca DPO, plain files)
- message lists: `chosen` and `rejected` hold the whole conversation, or the answer alone after a `prompt`
  list (UltraFeedback, TRL)
- turns: `conversations` and one `chosen` and one `rejected` turn (LLaMA-Factory)
- OpenAI's preference files: `input: {messages}`, `preferred_output`, `non_preferred_output`
- HH-RLHF: two texts `\\n\\nHuman: ...\\n\\nAssistant: ...` that part at the last answer
"""

import re
from collections.abc import Iterator

from finetune.data.convert.fields import (
    ConvertOptions,
    Record,
    SourceMessage,
    UnusableRecord,
    category_of,
    conversation,
    meta,
    note_unused,
    pair,
    peek,
    says_something,
    string,
)
from finetune.data.convert.prompts import asked, before, given_context, marked_turns, with_tools
from finetune.data.convert.tool_turns import answer as assistant_turn
from finetune.data.convert.turns import are_turns, decoded, read_messages

_QUESTIONS = ("instruction", "prompt", "question", "query", "질문")
_HH_MARK = re.compile(r"\n\n(Human|Assistant):")


def is_pair(record: Record) -> bool:
    return all(key in record for key in _answers(record))


def rows(record: Record, options: ConvertOptions) -> Iterator[dict[str, object]]:
    """One pair; without `options.pairs` the chosen answer as a row."""
    chosen, rejected = _answers(record)
    better, worse = _conversation(record, chosen), _conversation(record, rejected)
    if better[:-1] != worse[:-1]:
        raise UnusableRecord(f"{chosen} and {rejected} answer different conversations")
    better, tools = with_tools(better, record)
    worse, _ = with_tools(worse, record)
    said, other = conversation(better), conversation(worse)
    facts = (
        {**options.meta, **record["meta"]} if isinstance(peek(record, "meta"), dict) else dict(options.meta)
    )
    facts |= meta(ConvertOptions(), record, ("id", "prompt_id"))
    taken = ("input",) if isinstance(peek(record, "input"), dict) else ()
    given = given_context(record, taken)
    if options.pairs:
        if said.calls or other.calls or said.reasoning or other.reasoning:
            raise UnusableRecord("an answer calls a tool or thinks; a pair compares texts")
        yield pair(
            said.instruction,
            said.response,
            other.response,
            facts,
            context=given,
            category=category_of(record),
            history=said.history,
            beyond=said.beyond_text(tools),
        )
        return
    note_unused(record, f"{rejected} (--pairs uses it)")
    yield said.row(record, facts, given, tools)


def _answers(record: Record) -> tuple[str, str]:
    """The fields of the better and the worse answer."""
    return (
        ("preferred_output", "non_preferred_output")
        if "preferred_output" in record
        else ("chosen", "rejected")
    )


def _conversation(record: Record, key: str) -> list[SourceMessage]:
    """The whole conversation that ends with this answer."""
    answer = decoded(record.get(key)) if are_turns(peek(record, key)) else record.get(key)
    if answer is None:
        raise UnusableRecord(f"{key!r} is missing", broken=True)
    if isinstance(answer, str):
        if _HH_MARK.match(answer):
            return _hh_messages(answer)
        return [*_prompt(record), assistant_turn(answer)]
    messages = read_messages([answer] if isinstance(answer, dict) else answer, record, key)
    if not messages or messages[-1].role != "assistant":
        raise UnusableRecord(f"{key!r} does not end with the assistant's answer")
    if not messages[-1].learnt:
        raise UnusableRecord(f"{key!r} is not to be learnt (weight 0)")
    if len(messages) > 1:
        return before(record, messages)
    return [*_prompt(record), *messages]


def _prompt(record: Record) -> list[SourceMessage]:
    """What was said before the answer: system and history, and the question."""
    given = record.get("input") if isinstance(peek(record, "input"), dict) else None
    if given is not None:  # OpenAI's preference files
        for name in given.keys() - {"messages"}:
            if says_something(given[name]):
                note_unused(record, f"input.{name}")
        return before(record, read_messages(given.get("messages"), record, "input.messages"))
    for key in ("conversations", "prompt", "messages"):
        if are_turns(peek(record, key)) or isinstance(peek(record, key), list):
            return before(record, read_messages(record[key], record, key))
    question = next((key for key in _QUESTIONS if peek(record, key) is not None), None)
    if question is None:
        raise UnusableRecord("there is no prompt: none of " + ", ".join(_QUESTIONS), broken=True)
    return before(record, asked(string(record, question)))


def _hh_messages(text: str) -> list[SourceMessage]:
    return marked_turns(_HH_MARK.split(text))
