"""Input files: what kind they are, and their records in batches that a process can take.

JSON Lines, JSON, CSV, TSV and Parquet; the first four also compressed with gzip or Zstandard, in UTF-8 with
or without a byte order mark, in CP949 (Windows' Korean), tables in UTF-16 too. The kind is known by the
content, and by the name only for tables.
"""

import codecs
import csv
import io
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from common.errors import UserError
from finetune.data.convert.fields import Record, UnusableRecord
from finetune.data.convert.json_records import decode_record, decodes
from finetune.files.compressed import BROKEN, decompressed
from finetune.files.json_spans import JsonSpan, json_spans
from finetune.files.line_chunks import BOM, UTF16, line_chunks
from finetune.files.unreadable import unreadable

FileKind = Literal["jsonl", "json", "csv", "tsv", "parquet"]
DATA_NAMES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
PACKED_NAMES = (".gz", ".zst")

_HEAD = 1_000_000
_BLOCK = 1 << 22
_BATCH_BYTES = 2_000_000
_BATCH_ROWS = 2000
_LONGEST_CELL = 16_000_000
"""Characters of a table's cell after which its quotation mark is taken for one that is never closed."""

Numbered = tuple[int, Record | UnusableRecord]
"""Number of the line (Parquet: the row) where a record begins, from 1; the record or why there is none."""


@dataclass(frozen=True)
class InputFile:
    """A file and how to read it."""

    path: Path
    kind: FileKind
    encoding: str = "utf-8"
    delimiter: str = ","
    quoted: bool = True
    """Whether quotation marks hold a table's cells together (else they are text)."""


class RecordBatch(NamedTuple):
    """Records that stand together in a file."""

    data: bytes | Sequence[JsonSpan] | Sequence[Numbered]
    """Lines of JSON, JSON records, or decoded records."""
    first: int
    """Number of the first line of `data` where it is bytes."""
    done: float
    """How much of the file has been read, 0 to 1."""


def open_source(path: Path) -> InputFile:
    """What kind of file this is. Raises UserError where it is none that can be read."""
    with _reading(path):
        with path.open("rb") as file:
            magic = file.read(4)
        if magic == b"PAR1":
            return InputFile(path, "parquet")
        if magic == b"PK\x03\x04":
            raise UserError(
                f"{path} is a zip archive or an Excel file.", hint="Unpack it, or save it as CSV."
            )
        with path.open("rb") as file:
            head = decompressed(file).read(_HEAD)
    if not head.strip():
        raise UserError(f"{path} is empty.")
    encoding = _encoding(head, path)
    suffix = next((s for s in reversed(path.suffixes) if s.lower() not in PACKED_NAMES), "").lower()
    if suffix in (".csv", ".tsv"):
        return _table(path, head, encoding)
    if encoding == "utf-16":
        raise UserError(f"{path} is UTF-16 text.", hint="Save it as UTF-8.")
    text = head.removeprefix(BOM).lstrip()
    if text.startswith(b"[") and _is_lines_of_turns(text, suffix):
        return InputFile(path, "jsonl", encoding)
    if text.startswith(b"[") or (text.startswith(b"{") and not _is_lines(text, suffix)):
        return InputFile(path, "json", encoding)
    if text.startswith(b"{") or suffix in (".jsonl", ".ndjson"):
        return InputFile(path, "jsonl", encoding)
    if suffix != ".json" and re.search(rb"[,\t]", text.split(b"\n", 1)[0]):
        return _table(path, head, encoding)
    raise UserError(f"{path} holds neither JSON, JSON Lines, CSV, TSV nor Parquet.")


def batches(source: InputFile) -> Iterator[RecordBatch]:
    """The file's records in order, always cut up the same way. Raises UserError where it breaks off."""
    if source.kind == "jsonl":
        return (
            RecordBatch(chunk.data, chunk.first, chunk.done)
            for chunk in line_chunks(source.path, _BATCH_BYTES)
        )
    if source.kind == "json":
        return _spans(source)
    return _parquet(source.path) if source.kind == "parquet" else _rows(source)


def records(batch: RecordBatch, encoding: str) -> Iterator[Numbered]:
    """The batch's records; one that cannot be decoded comes as Unusable."""
    if isinstance(batch.data, bytes):
        for number, line in enumerate(batch.data.split(b"\n"), start=batch.first):
            if line and not line.isspace():
                yield number, decode_record(line, encoding)
        return
    for number, record in batch.data:
        yield number, decode_record(record, encoding) if isinstance(record, bytes) else record


def _encoding(head: bytes, path: Path) -> str:
    if head.startswith(UTF16):
        return "utf-16"
    if head.count(b"\0") > len(head) // 10:
        raise UserError(f"{path} is no text file.", hint="Texts in UTF-16 or UTF-32 must be saved as UTF-8.")
    lines = head.split(b"\n")
    wide = [line for line in (lines if len(head) < _HEAD else lines[:-1]) if not line.isascii()]
    if len(lines) == 1:  # the sample may end within a character
        try:
            codecs.getincrementaldecoder("utf-8")().decode(head)
        except UnicodeDecodeError:
            return "cp949"
        return "utf-8"
    wrong = [line for line in wide if not decodes(line, "utf-8")]
    korean = sum(decodes(line, "cp949") for line in wrong)
    # A few such lines in a file of UTF-8 are broken lines; they are refused one by one.
    return "cp949" if len(wrong) * 2 > len(wide) and korean * 2 > len(wrong) else "utf-8"


def _is_lines_of_turns(text: bytes, suffix: str) -> bool:
    """Whether text that begins with a bracket has a conversation, an array of turns, on each line."""
    lines = [line for line in text.split(b"\n", 3)[:3] if line.strip()]
    if len(lines) < 2 and suffix not in (".jsonl", ".ndjson") and b"\n" in text.strip():
        return False
    first = decode_record(lines[0], "utf-8" if decodes(lines[0], "utf-8") else "cp949")
    if isinstance(first, UnusableRecord):
        return False
    turns = first["messages"]
    return not (isinstance(turns[0], list) and len(lines) == 1)


def _is_lines(text: bytes, suffix: str) -> bool:
    """Whether text that begins with a brace has an object on each line."""
    lines = text.split(b"\n")
    if len(lines) > 1:
        lines = lines[:-1]
    elif len(text) >= _HEAD - len(BOM):
        return suffix in (".jsonl", ".ndjson")
    some = [line for line in lines[:5] if line.strip()]
    decoded = [decode_record(line, "utf-8" if decodes(line, "utf-8") else "cp949") for line in some]
    objects = [record for record in decoded if not isinstance(record, UnusableRecord)]
    if len(decoded) == 1 and objects:
        inner = objects[0].get("data")
        return not (isinstance(inner, list) and inner and isinstance(inner[0], dict))
    return len(objects) > 0 or (suffix in (".jsonl", ".ndjson") and lines[0].strip() != b"{")


def _spans(source: InputFile) -> Iterator[RecordBatch]:
    done = 0.0

    def blocks(file: BinaryIO, total: int) -> Iterator[bytes]:
        nonlocal done
        stream = decompressed(file)
        block = stream.read(_BLOCK).removeprefix(BOM)
        while block:
            done = min(1.0, file.tell() / total)
            yield block
            block = stream.read(_BLOCK)

    with _reading(source.path), source.path.open("rb") as file:
        total = max(1, os.fstat(file.fileno()).st_size)
        batch: list[JsonSpan] = []
        size = 0
        for span in json_spans(blocks(file, total), str(source.path)):
            batch.append(span)
            size += len(span[1])
            if size >= _BATCH_BYTES:
                yield RecordBatch(batch, batch[0][0], done)
                batch, size = [], 0
        if batch:
            yield RecordBatch(batch, batch[0][0], done)


def _table(path: Path, head: bytes, encoding: str) -> InputFile:
    """How a table is written: its delimiter, and whether quotation marks mean something."""
    text = head.decode("utf-8-sig" if encoding == "utf-8" else encoding, errors="replace")
    header = text.split("\n", 1)[0]
    delimiter = "\t" if "\t" in header else ";" if ";" in header and "," not in header else ","
    lines = text.splitlines(keepends=True)
    whole = lines[:-1] if len(head) == _HEAD else lines
    quoted = delimiter != "\t" or _is_quoted(whole)
    return InputFile(path, "tsv" if delimiter == "\t" else "csv", encoding, delimiter, quoted)


def _is_quoted(lines: Sequence[str]) -> bool:
    try:
        widths = {len(row) for row in csv.reader(lines, delimiter="\t", strict=True) if row}
    except csv.Error:
        return False
    return len(widths) == 1


def _rows(source: InputFile) -> Iterator[RecordBatch]:
    path = source.path
    encoding = "utf-8-sig" if source.encoding == "utf-8" else source.encoding
    csv.field_size_limit(_LONGEST_CELL)
    with _reading(path), path.open("rb") as file:
        total = max(1, os.fstat(file.fileno()).st_size)
        # What is not in the encoding becomes lone surrogates, which the row's encoder refuses with the line.
        text = io.TextIOWrapper(decompressed(file), encoding=encoding, errors="surrogateescape", newline="")
        reader = csv.reader(
            text,
            delimiter=source.delimiter,
            quoting=csv.QUOTE_MINIMAL if source.quoted else csv.QUOTE_NONE,
            strict=True,
        )
        try:
            header = _distinct([name.strip() for name in next(reader)])
        except csv.Error as error:
            raise UserError(f"{path}, line 1: {error}.") from error
        for batch in groups(_numbered(reader, header, path)):
            yield RecordBatch(batch, batch[0][0], min(1.0, file.tell() / total))


def _distinct(names: Sequence[str]) -> list[str]:
    """A table's column names, each once: the second `답변` becomes `답변 (2)`. So no cell is lost."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def groups(rows: Iterator[Numbered]) -> Iterator[list[Numbered]]:
    """Decoded records in lists of a batch's size."""
    while group := list(itertools.islice(rows, _BATCH_ROWS)):
        yield group


def _numbered(reader: Any, header: Sequence[str], path: Path) -> Iterator[Numbered]:
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "field larger" in str(error) or "unexpected end" in str(error):
                raise UserError(
                    f"{path}, line {number}: a quotation mark is opened in this row and never closed."
                ) from error
            yield number, UnusableRecord(f"not a row of the table ({error})", broken=True)
            continue
        if len(cells) == len(header):
            yield number, dict(zip(header, cells, strict=True))
        elif cells:
            reason = f"{len(cells)} cells where the header has {len(header)}"
            yield number, UnusableRecord(reason, broken=True)


def _parquet(path: Path) -> Iterator[RecordBatch]:
    try:
        import pyarrow  # type: ignore[import-untyped]
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ImportError as error:
        raise UserError(
            f"{path} is a Parquet file, and pyarrow is not installed.", hint="pip install 'kodolly[finetune]'"
        ) from error
    number = 1
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            total = max(1, file.metadata.num_rows)
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                rows: list[Mapping[str, object]] = batch.to_pylist()
                yield RecordBatch(
                    list(enumerate(rows, start=number)), number, min(1.0, (number + len(rows)) / total)
                )
                number += len(rows)
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path}, after row {number - 1}: the Parquet file is broken ({error}).") from error


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except BROKEN as error:
        raise UserError(f"{path}: the compressed file is broken ({error}).") from error
    except OSError as error:
        raise unreadable(path, error) from error
