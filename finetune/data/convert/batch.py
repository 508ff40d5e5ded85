"""One batch of source records to lines of rows and of refusals: what every core does of a conversion."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from finetune.data.convert.fields import (
    ConvertOptions,
    Fields,
    Record,
    UnusableRecord,
    peek,
    says_something,
    strict_rows,
)
from finetune.data.convert.formats import BY_NAME
from finetune.data.convert.sources import RecordBatch, records

_CUT_TEXT = 2000
"""Characters shown of a record that could not be decoded, or that is too long to be shown whole."""
_LONGEST_SHOWN = 50_000
"""Bytes of a refused record shown whole; a page of KorQuAD 2 is longer, and may be refused many times."""
_MOST_NAMES = 100
OTHER_FIELDS = "other fields"
"""Takes the place of field names after the first hundred: records may use anything as a key."""
_MEDIA = {
    **dict.fromkeys(("image", "images", "image_path", "img", "이미지"), "an image"),
    **dict.fromkeys(("audio", "audios"), "audio"),
    **dict.fromkeys(("video", "videos"), "a video"),
}
_VARIABLE = re.compile(r"'[^']*'|\d+|: .*\Z", re.DOTALL)


@dataclass(frozen=True)
class FileTask:
    """How the records of one file are converted."""

    file: str
    """The file's name as it stands in refusals."""
    format: str
    encoding: str
    options: ConvertOptions
    strict: bool = False
    warning: str = ""
    """What may be wrong with the whole file, or ''."""


class RefusedRecord(msgspec.Struct, omit_defaults=True):
    """A record that made no row, as a line of the rejects file."""

    file: str
    line: int
    reason: str
    record: object


class FirstOfKind(msgspec.Struct):
    """Refusals for one reason: how many, and the first."""

    count: int
    line: int
    reason: str


class RecordCounts(msgspec.Struct):
    """What became of records."""

    records: int = 0
    rows: int = 0
    refused: int = 0
    broken: int = 0
    """Records that do not even have the shape of their format."""
    reasons: dict[str, FirstOfKind] = {}
    unused: dict[str, int] = {}
    """Field -> records that became rows without it."""
    left_out: dict[str, int] = {}
    """What was left out of rows -> how often."""

    def add(self, other: "RecordCounts") -> None:
        self.records += other.records
        self.rows += other.rows
        self.refused += other.refused
        self.broken += other.broken
        for kind, more in other.reasons.items():
            if kind in self.reasons:
                self.reasons[kind].count += more.count
            else:
                self.reasons[kind] = more
        for mine, others in ((self.unused, other.unused), (self.left_out, other.left_out)):
            for name, count in others.items():
                name = name if name in mine or len(mine) < _MOST_NAMES else OTHER_FIELDS
                mine[name] = mine.get(name, 0) + count


@dataclass
class Converted:
    """A batch's lines."""

    rows: bytes
    refused: bytes
    counts: RecordCounts


_encoder = msgspec.json.Encoder()
BAD_CHARACTERS = "half a character, or bytes of another encoding"


def convert_batch(batch: RecordBatch, task: FileTask) -> Converted:
    """The rows (or pairs) of a batch as JSON lines, and its refusals."""
    convert = BY_NAME[task.format].rows
    rows, counts = bytearray(), RecordCounts()
    refusals = _Refusals(task.file, counts)
    for number, record in records(batch, task.encoding):
        counts.records += 1
        if isinstance(record, UnusableRecord):
            refusals.add(number, record, record)
            continue
        rows_before = counts.rows
        noting = Fields(record)
        try:
            _refuse_media(record, task.options)
            for made in convert(noting, task.options):
                if isinstance(made, UnusableRecord):
                    refusals.add(number, made, record)
                    continue
                if task.options.labels:
                    _require_label(made)
                for row in strict_rows(made) if task.strict else (made,):
                    rows += _encoder.encode(row)
                    rows += b"\n"
                    counts.rows += 1
            if counts.rows > rows_before:
                _count_notes(counts, noting)
        except UnusableRecord as reason:
            refusals.add(number, reason, record)
        except UnicodeEncodeError:
            refusals.add(number, UnusableRecord(BAD_CHARACTERS, broken=True), record)
    return Converted(bytes(rows), bytes(refusals.lines), counts)


class _Refusals:
    """The refused records of a batch as JSON lines, counted by kind of reason in `counts`."""

    def __init__(self, file: str, counts: RecordCounts) -> None:
        self._file = file
        self._counts = counts
        self.lines = bytearray()

    def add(self, number: int, reason: UnusableRecord, record: Record | UnusableRecord) -> None:
        counts = self._counts
        counts.refused += 1
        counts.broken += reason.broken
        kind = _VARIABLE.sub("…", reason.message)
        counts.reasons.setdefault(kind, FirstOfKind(0, number, reason.message)).count += 1
        self.lines.extend(_refusal(RefusedRecord(self._file, number, reason.message, _shown(record))))


def _refuse_media(record: Record, options: ConvertOptions) -> None:
    for name in _MEDIA.keys() & record.keys():
        if says_something(peek(record, name)) and name not in options.columns.values():
            raise UnusableRecord(f"it needs {_MEDIA[name]} ({name!r}); a row holds text alone")


def _require_label(row: Mapping[str, object]) -> None:
    facts = row.get("meta")
    if not isinstance(facts, Mapping) or not isinstance(facts.get("label"), bool):
        raise UnusableRecord("it does not say whether its answer is good (label, kto_tag, desirable)")


def _count_notes(counts: RecordCounts, record: Fields) -> None:
    for name in record.unused():
        name = str(name)
        name = name if name in counts.unused or len(counts.unused) < _MOST_NAMES else OTHER_FIELDS
        counts.unused[name] = counts.unused.get(name, 0) + 1
    for what in record.left_out:
        counts.left_out[what] = counts.left_out.get(what, 0) + 1


def _shown(record: Record | UnusableRecord) -> object:
    return record.undecoded[:_CUT_TEXT] if isinstance(record, UnusableRecord) else record


def _refusal(refusal: RefusedRecord) -> bytes:
    try:
        line = _encoder.encode(refusal)
        if len(line) > _LONGEST_SHOWN:
            refusal.record = f"{str(refusal.record)[:_CUT_TEXT]}..."
            line = _encoder.encode(refusal)
        return line + b"\n"
    except (UnicodeEncodeError, TypeError, OverflowError):
        # Bytes of another encoding, or values of Parquet that JSON has no words for.
        refusal.record = str(refusal.record)[:_CUT_TEXT].encode(errors="replace").decode()
        return _encoder.encode(refusal) + b"\n"
