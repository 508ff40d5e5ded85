"""The rows of a file one by one, each with its unchanged line: for commands that change no row."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from common.errors import UserError
from finetune.files.line_chunks import line_chunks
from finetune.rows.fast_row import JsonRow, UnusableLine, parse_row


class RowLine(NamedTuple):
    line: bytes
    """The line's bytes, which end in one line feed."""
    row: JsonRow
    done: float
    """Share of the file that has been read, 0 to 1."""


def row_lines(path: Path) -> Iterator[RowLine]:
    """Yield all rows of a JSONL file, plain or compressed. Raises UserError, with the line number, at the
    first line that is no row, and for a file without any."""
    found = False
    for chunk in line_chunks(path):
        for number, line in enumerate(chunk.data.split(b"\n"), start=chunk.first):
            if not line or line.isspace():
                continue
            try:
                row = parse_row(line)
            except UnusableLine as error:
                raise UserError(
                    f"{path}, line {number}: {error.detail}.",
                    hint="`kodolly data clean` leaves out what is no row, and says why.",
                ) from error
            found = True
            yield RowLine(line.rstrip(b"\r") + b"\n", row, chunk.done)
    if not found:
        raise UserError(f"{path} holds no rows.")
