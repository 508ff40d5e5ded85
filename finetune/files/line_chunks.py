"""JSONL files of any size, plain or compressed, as chunks of whole lines."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from finetune.files.compressed import BROKEN, decompressed
from finetune.files.unreadable import unreadable

CHUNK = 4_000_000
"""Bytes of text that one process works on at a time."""
LONGEST_LINE = 256_000_000
"""Bytes after which a line is taken for a file of another format."""
UTF16 = (b"\xff\xfe", b"\xfe\xff")
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class LineChunk:
    """Consecutive whole lines of a file."""

    first: int
    """Number of its first line, from 1."""
    data: bytes
    done: float
    """Share of the file that has been read up to the end of this chunk, 0 to 1."""


def line_chunks(path: Path, size: int = CHUNK) -> Iterator[LineChunk]:
    """Yield the file's lines in chunks of about `size` bytes, without a byte order mark.

    gzip and Zstandard are recognised by their first bytes. Raises UserError with the line that was reached.
    """
    number, rest = 1, b""
    try:
        with path.open("rb") as file:
            total = max(1, os.fstat(file.fileno()).st_size)
            stream = decompressed(file)
            while True:
                block = stream.read(size)
                done = min(1.0, file.tell() / total)
                if number == 1 and not rest:
                    block = _without_mark(block, path)
                cut = block.rfind(b"\n") + 1
                if block and not cut:
                    rest += block
                    if len(rest) > LONGEST_LINE:
                        raise UserError(
                            f"{path}, line {number}: longer than {LONGEST_LINE // 1_000_000} MB.",
                            hint="JSON Lines holds one row on each line; `kodolly data convert` makes it.",
                        )
                    continue
                data = rest + block[:cut]
                rest = block[cut:]
                if data:
                    yield LineChunk(number, data, done)
                    number += data.count(b"\n")
                if not block:
                    return
    except BROKEN as error:
        raise UserError(f"{path}, after line {number}: the compressed file is broken ({error}).") from error
    except OSError as error:
        raise unreadable(path, error, "The row file") from error


def _without_mark(block: bytes, path: Path) -> bytes:
    if block.startswith(UTF16):
        raise UserError(f"{path} is UTF-16 text.", hint="Save it as UTF-8.")
    return block.removeprefix(BOM)
