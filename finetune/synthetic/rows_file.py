"""The files of generated rows and of the teacher's answers beside them."""

from collections.abc import Iterable
from pathlib import Path

from finetune.files.whole import whole_file
from finetune.rows.fast_row import JsonRow, write_row


def journal_path(output: Path) -> Path:
    """The file that keeps the teacher's answers: `rows.jsonl` -> `rows.asked.jsonl`."""
    return output.with_name(f"{output.name.removesuffix('.jsonl')}.asked.jsonl")


def write_rows(rows: Iterable[JsonRow], path: Path) -> None:
    """Write a line for each row; the file is there whole or not at all. Raises UserError."""
    with whole_file(path) as out:
        for row in rows:
            out.write(write_row(row))
