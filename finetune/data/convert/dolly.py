"""Dolly rows: databricks-dolly-15k, and rows of ours that pass through."""

from collections.abc import Iterator

from common.thought_marks import split_thought
from finetune.data.convert.fields import ConvertOptions, Record, is_category, is_text, meta, peek, row
from finetune.data.convert.prompts import answered
from finetune.rows.placeholders import without_placeholder

_PLAIN = frozenset({"instruction", "context", "response", "category"})


def is_dolly(record: Record) -> bool:
    has_fields = "instruction" in record and "response" in record and "category" in record
    return has_fields and not {"output", "chosen"} & record.keys()


def rows(record: Record, options: ConvertOptions) -> Iterator[dict[str, object]]:
    """The row itself; its own meta wins over the options'."""
    plain = record.keys() == _PLAIN and is_text(record, *_PLAIN) and is_category(record["category"])
    if plain and not split_thought(record["response"])[0]:
        yield row(
            record["instruction"],
            record["response"],
            options.meta,
            context=without_placeholder(record["context"]),
            category=record["category"],
        )
        return
    facts = meta(options, record)
    own = peek(record, "meta")
    if isinstance(own, dict):
        facts |= record["meta"]
    # The blanks around a row's context stay: `meta.answer_start` counts them.
    context = without_placeholder(record["context"]) if is_text(record, "context") else ""
    for made in answered(record, options, "instruction", "response", None, facts):
        yield made | {"context": context} if context else made
