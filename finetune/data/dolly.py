"""Dolly rows: databricks-dolly-15k, and rows of ours that pass through."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from finetune.data.fields import CATEGORIES, Options, Record, Unusable, is_text, row
from finetune.data.placeholders import without_placeholder
from finetune.rows import Row

_PLAIN = frozenset({"instruction", "context", "response", "category"})


def is_dolly(record: Record) -> bool:
    return is_text(record, "instruction", "response", "category") and not {"output", "chosen"} & record.keys()


def rows(record: Record, options: Options) -> Iterator[dict[str, Any]]:
    """The row itself; its own meta wins over the options'."""
    if record.keys() == _PLAIN and is_text(record, *_PLAIN) and record["category"] in CATEGORIES:
        yield row(
            record["instruction"],
            record["response"],
            options.meta,
            context=without_placeholder(record["context"]),
            category=record["category"],
        )
        return
    try:
        checked = Row.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        raise Unusable(f"{'.'.join(map(str, first['loc'])) or 'row'}: {first['msg']}", broken=True) from error
    yield row(
        checked.instruction,
        checked.response,
        {**options.meta, **checked.meta},
        context=without_placeholder(checked.context),
        category=checked.category,
        history=[turn.model_dump() for turn in checked.history],
    )
