"""What a file is that was given as rows and holds none, and the command that makes rows of it."""

import itertools
import shlex
from pathlib import Path

from common.errors import UserError
from common.escape import escape_controls
from finetune.data.convert.fields import ConvertOptions, Record
from finetune.data.convert.formats import recognise
from finetune.data.convert.sources import InputFile, batches, open_source, records
from finetune.files.compressed import GZIP, ZSTD, decompressed
from finetune.files.line_chunks import BOM
from finetune.rows.fast_row import UnusableLine, parse_row

_SAMPLE = 100
"""Records that are looked at."""
_SHOWN_FIELDS = 8
_KINDS = {
    "jsonl": "JSON Lines",
    "json": "a JSON document",
    "csv": "a CSV table",
    "tsv": "a TSV table",
    "parquet": "a Parquet file",
}
_ROWS_WANTED = "Rows are JSON Lines with the fields instruction, response and category."
_PAIRS_WANTED = "Preference pairs are JSON Lines with the fields instruction, chosen and rejected."


def other_format(path: Path, *, pairs: bool) -> UserError | None:
    """The refusal of a file that holds something else than rows (with `pairs`: than preference pairs); None
    where only its lines can tell what is wrong."""
    try:
        source = open_source(path)
        packed, start = _start(path)
    except UserError as error:
        return error
    written_as_rows = source.kind == "jsonl" and source.encoding == "utf-8" and not packed
    try:
        sample = _sample(source)
    except UserError:  # it is broken further in: the error about that line says more
        return None
    if not sample or (written_as_rows and _holds_rows(path)):
        return None
    kind = "a JSON array" if source.kind == "json" and start.startswith(b"[") else _KINDS[source.kind]
    encoding = "" if source.encoding == "utf-8" else f" in {source.encoding.upper()}"
    what = f"{path} is {kind}{encoding}{', compressed' if packed else ''}"
    try:
        known = recognise(sample, ConvertOptions(pairs=pairs), path)
    except UserError:
        return _refusal(path, f"{what}, whose records hold the fields {_fields(sample)}", pairs, named=True)
    if written_as_rows and known.name == "dolly":
        return None
    if pairs and not known.pairs:
        return UserError(f"{what}: {known.title}. It holds no preference pairs.", hint=_PAIRS_WANTED)
    return _refusal(path, f"{what}: {known.title}", pairs, named=pairs and known.name == "table")


def _refusal(path: Path, what: str, pairs: bool, *, named: bool) -> UserError:
    """`named`: whether converting takes the names of the columns."""
    made, wanted = ("pairs", _PAIRS_WANTED) if pairs else ("rows", _ROWS_WANTED)
    columns = ("instruction", "chosen", "rejected") if pairs else ("instruction", "response")
    flags = ["--pairs"] * pairs + [f"--column {name}=COLUMN" for name in columns if named]
    target = f"{made}.jsonl" if path.name != f"{made}.jsonl" else f"converted-{made}.jsonl"
    command = " ".join(["kodolly data convert", shlex.quote(str(path)), target, *flags])
    return UserError(f"{what}. {wanted}", hint=f"`{command}` makes {made} of it.")


def _sample(source: InputFile) -> list[Record]:
    found = (record for batch in batches(source) for _, record in records(batch, source.encoding))
    return [record for record in itertools.islice(found, _SAMPLE) if isinstance(record, dict)]


def _holds_rows(path: Path) -> bool:
    """Whether at least half of the first lines are rows or pairs: then a line is wrong, not the file."""
    with path.open("rb") as file:
        lines = [line for line in itertools.islice(file, _SAMPLE) if not line.isspace()]
    return sum(map(_is_row, lines)) * 2 >= len(lines)


def _is_row(line: bytes) -> bool:
    try:
        parse_row(line.removeprefix(BOM))
    except UnusableLine:
        return False
    return True


def _start(path: Path) -> tuple[bool, bytes]:
    """(whether the file is compressed, how its text begins)."""
    with path.open("rb") as file:
        packed = file.read(4).startswith((GZIP, ZSTD))
        return packed, decompressed(file).read(100).removeprefix(BOM).lstrip()


def _fields(sample: list[Record]) -> str:
    return escape_controls(", ".join(str(key) for key in list(sample[0])[:_SHOWN_FIELDS]))
