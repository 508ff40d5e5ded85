"""Plain tables and lines: a question and an answer column, named by the user or by their usual names."""

from collections.abc import Iterator, Mapping, Sequence

from finetune.data.convert.fields import (
    ConvertOptions,
    Record,
    UnusableRecord,
    meta,
    pair,
    peek,
    says_something,
    string,
)
from finetune.data.convert.prompts import answered
from finetune.rows.categories import CATEGORIES
from finetune.rows.placeholders import without_placeholder

QUESTIONS = (
    *(
        "instruction",
        "question",
        "prompt",
        "query",
        "q",
        "질문",
        "질의",
        "문의",
        "명령",
        "명령어",
        "지시",
        "지시문",
    ),
    *("지시사항", "문제", "user", "human", "user_input", "사용자", "고객", "input", "입력"),
)
ANSWERS = (
    *("response", "answer", "output", "completion", "a", "답변", "대답", "응답", "정답", "답", "출력"),
    *("assistant", "gpt", "reply", "chatbot", "bot", "챗봇", "상담사"),
)
"""The usual names, in small letters and without blanks at their ends; earlier ones win."""
FIELDS = ("instruction", "context", "response", "category", "chosen", "rejected")
_USUAL: Mapping[str, Sequence[str]] = {"instruction": QUESTIONS, "response": ANSWERS}


def usual_columns(sample: Sequence[Record]) -> dict[str, str]:
    """Row field -> the column with a usual name that most records fill; a field without one is missing."""
    filled: dict[str, int] = {}
    for record in sample:
        for column in record:
            filled[column] = filled.get(column, 0) + says_something(peek(record, column))
    found = {}
    for field, names in _USUAL.items():
        known = [column for column in filled if _folded(column) in names]
        known.sort(key=lambda column: (-filled[column], names.index(_folded(column))))
        if known:
            found[field] = known[0]
    return found


def is_table(record: Record) -> bool:
    names = {_folded(column) for column in record}
    return not names.isdisjoint(QUESTIONS) and not names.isdisjoint(ANSWERS)


def rows(record: Record, options: ConvertOptions) -> Iterator[dict[str, object]]:
    """One row (or pair) by `options.columns`, which the caller has filled."""
    columns = options.columns
    facts = meta(options, record)
    for field, column in columns.items():
        if field.startswith("meta.") and record.get(column) is not None:
            facts[field.removeprefix("meta.")] = record[column]
    category = _cell(record, columns, "category")
    if options.pairs:
        given = without_placeholder(_cell(record, columns, "context"))
        chosen, rejected = string(record, columns["chosen"]), string(record, columns["rejected"])
        question = string(record, columns["instruction"])
        yield pair(question, chosen, rejected, facts, context=given, category=category)
        return
    if category and category not in CATEGORIES:
        raise UnusableRecord(f"the category {category!r} is none of " + ", ".join(sorted(CATEGORIES)))
    for made in answered(
        record, options, columns["instruction"], columns["response"], columns.get("context"), facts
    ):
        yield made | {"category": category} if category else made


def _folded(column: object) -> str:
    return str(column).strip().lower()


def _cell(record: Record, columns: Mapping[str, str], field: str) -> str:
    return string(record, columns[field], required=False) if field in columns else ""
