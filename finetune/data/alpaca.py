"""Alpaca's shape: `instruction, input, output`. Stanford Alpaca, KoAlpaca v1.0 (an array) and v1.1 (lines
with a `url` and no input), the alpaca-style file of KoVicuna."""

from collections.abc import Iterator
from typing import Any

from finetune.data.fields import Options, Record, is_text, meta, row, string
from finetune.data.placeholders import without_placeholder


def is_alpaca(record: Record) -> bool:
    return is_text(record, "instruction", "output") and isinstance(record.get("input", ""), str | None)


def is_koalpaca_1_1(record: Record) -> bool:
    return is_alpaca(record) and is_text(record, "url") and "input" not in record


def rows(record: Record, options: Options) -> Iterator[dict[str, Any]]:
    """One row. Its category is the record's own where that is one of the eight."""
    yield row(
        string(record, "instruction"),
        string(record, "output"),
        meta(options, record, ("id", "url")),
        context=without_placeholder(string(record, "input", required=False)),
        category=record.get("category"),
    )
