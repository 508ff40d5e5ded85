"""Alpaca's shape: `instruction, input, output`, and LLaMA-Factory's `system` and `history` beside them.

Stanford Alpaca, Belle, KoAlpaca v1.0 (an array) and v1.1 (lines with a `url` and no input), KoVicuna's
alpaca-style file.
"""

from collections.abc import Iterator

from finetune.data.convert.fields import ConvertOptions, Record, meta
from finetune.data.convert.prompts import answered


def is_alpaca(record: Record) -> bool:
    return "instruction" in record and "output" in record


def is_koalpaca_1_1(record: Record) -> bool:
    return is_alpaca(record) and "url" in record and "input" not in record


def rows(record: Record, options: ConvertOptions) -> Iterator[dict[str, object]]:
    """One row. Its category is the record's own where that is one of the eight."""
    yield from answered(record, options, "instruction", "output", None, meta(options, record, ("id", "url")))
