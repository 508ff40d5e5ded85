"""Plain tables and lines: a question and an answer column, named by the user or by their usual names."""

from collections.abc import Iterator, Mapping
from typing import Any

from finetune.data.fields import CATEGORIES, Options, Record, Unusable, meta, pair, row, string
from finetune.data.placeholders import without_placeholder

QUESTIONS = ("instruction", "question", "prompt", "Q", "q", "질문", "user", "input")
ANSWERS = ("response", "answer", "output", "completion", "A", "a", "답변", "대답", "assistant")
CONTEXTS = ("context", "맥락", "지문", "문맥")
FIELDS = ("instruction", "context", "response", "category", "chosen", "rejected")


def usual_columns(record: Record) -> dict[str, str]:
    """Row field -> column, by the usual names; `instruction` or `response` is missing where none is there."""
    found = {}
    for field, names in (("instruction", QUESTIONS), ("response", ANSWERS), ("context", CONTEXTS)):
        name = next((name for name in names if isinstance(record.get(name), str | int | float)), None)
        if name is not None:
            found[field] = name
    return found


def is_table(record: Record) -> bool:
    return {"instruction", "response"} <= usual_columns(record).keys()


def rows(record: Record, options: Options) -> Iterator[dict[str, Any]]:
    """One row (or pair) by `options.columns`, which the caller has filled."""
    columns = options.columns
    facts = meta(options, record)
    for field, column in columns.items():
        if field.startswith("meta.") and record.get(column) is not None:
            facts[field.removeprefix("meta.")] = record[column]
    given = without_placeholder(_cell(record, columns, "context"))
    question, category = string(record, columns["instruction"]), _cell(record, columns, "category")
    if options.pairs:
        chosen, rejected = string(record, columns["chosen"]), string(record, columns["rejected"])
        yield pair(question, chosen, rejected, facts, context=given, category=category)
        return
    if category and category not in CATEGORIES:
        raise Unusable(f"the category {category!r} is none of " + ", ".join(sorted(CATEGORIES)))
    yield row(question, string(record, columns["response"]), facts, context=given, category=category)


def _cell(record: Record, columns: Mapping[str, str], field: str) -> str:
    return string(record, columns[field], required=False) if field in columns else ""
