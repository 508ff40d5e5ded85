"""What all chunks found, put together: clean rows, rejects and counts."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
import numpy.typing as npt

from common.errors import UserError
from finetune.data.clean.chunk import (
    CATEGORY_NAMES,
    SAMPLES,
    ChunkReport,
    ShownRow,
    cut_texts,
    reject_line,
    row_texts,
    source_of,
)
from finetune.data.clean.contamination import EvaluationIndex
from finetune.data.clean.duplicates import SAME, Chunks, Duplicates
from finetune.data.clean.job import CleaningJob
from finetune.progress import Progress, finished
from finetune.rows.fast_row import JsonRow, parse_row


class SourceCounts(msgspec.Struct):
    """What became of one source's rows."""

    kept: int = 0
    rejected: dict[str, int] = {}


class CleanReport(msgspec.Struct):
    """What cleaning found. `read` = `kept` + the sum of `rejected`."""

    inputs: dict[str, int]
    """File -> its rows."""
    read: int = 0
    kept: int = 0
    rejected: dict[str, int] = {}
    """Reason -> rows (finetune.rows.reasons.REJECTED)."""
    mended: dict[str, int] = {}
    """What was put right -> rows (finetune.rows.reasons.MENDED); duplicates included."""
    allowed: dict[str, int] = {}
    sources: dict[str, SourceCounts] = {}
    categories: dict[str, int] = {}
    """Of the rows kept, like the next two: category -> rows."""
    licences: dict[str, int] = {}
    lengths: dict[str, dict[str, int]] = {}
    """instruction, context, response -> percentile -> characters."""
    histograms: dict[str, list[int]] = {}
    """instruction, context, response -> rows of 1, 2-3, 4-7, 8-15 ... characters; empty texts are left
    out."""
    samples: dict[str, list[ShownRow]] = {}
    """Reason or mended -> at most five rows."""
    evaluation_items: int = 0
    evaluation_items_too_short: int = 0


def assemble(
    job: CleaningJob,
    inputs: Sequence[Path],
    chunks: Chunks,
    duplicates: Duplicates,
    rows: IO[bytes] | None,
    rejects: IO[bytes] | None,
) -> CleanReport:
    made, stage = CleanReport({str(path): 0 for path in inputs}), "writing" if rows else "counting"
    lengths: dict[str, list[npt.NDArray[np.int32]]] = {"instruction": [], "context": [], "response": []}
    reports = [chunks.report(chunk) for chunk in range(len(chunks.stems))]
    line_numbers = [chunks.index(chunk)["line"].copy() for chunk in range(len(chunks.stems))]
    for chunk, (stem, report) in enumerate(zip(chunks.stems, reports, strict=True)):
        index, first = chunks.index(chunk), int(chunks.first[chunk])
        repeated = duplicates.of[first : first + len(index)]
        kept = repeated < 0
        data = Path(f"{stem}.rows").read_bytes()
        _add_chunk_report(made, report, index[kept])
        dropped = []
        for within in np.flatnonzero(~kept).tolist():
            row = parse_row(_data_of(data, index, within, within + 1))
            other, place = chunks.locate(int(repeated[within]))
            where = f"{reports[other].file}, line {line_numbers[other][place]}"
            reason, detail = _duplicate_of(where, float(duplicates.similarity[first + within]))
            line = int(index["line"][within])
            _add_duplicate(made, report.file, line, reason, detail, row)
            dropped.append((line, reject_line(report.file, line, reason, detail, {"row": row})))
        for name, values in lengths.items():
            values.append(index[name][kept])
        if rows is not None:
            rows.writelines(_data_of(data, index, start, end) for start, end in _runs(kept))
        if rejects is not None:
            _write_rejects(rejects, Path(f"{stem}.rejected").read_bytes(), dropped)
        job.report(Progress(stage, (chunk + 1) / len(chunks.stems), f"{made.kept:,} kept"))
    job.report(finished(stage, f"{made.kept:,} kept"))
    if not made.read:
        raise UserError(f"{', '.join(map(str, inputs))}: no rows there.")
    _describe_lengths(made, lengths)
    _describe_evaluation(made, job.rules.evaluation)
    return made


def _describe_evaluation(made: CleanReport, evaluation: EvaluationIndex | None) -> None:
    if evaluation is not None:
        made.evaluation_items = len(evaluation.names)
        made.evaluation_items_too_short = evaluation.too_short


def _data_of(data: bytes, index: npt.NDArray[np.void], start: int, end: int) -> bytes:
    """The lines of a chunk's rows from number `start` to `end`, without the last."""
    return data[int(index["end"][start - 1]) if start else 0 : int(index["end"][end - 1])]


def _duplicate_of(where: str, alike: float) -> tuple[str, str]:
    """Reason and detail for a row that is `alike` (Jaccard similarity) the one at `where`."""
    if alike == SAME:
        return "duplicate", f"of {where}"
    return "near_duplicate", f"{alike:.2f} like {where}"


def _add_chunk_report(made: CleanReport, report: ChunkReport, kept: npt.NDArray[np.void]) -> None:
    made.inputs[report.file] += report.read
    made.read += report.read
    made.kept += len(kept)
    for counts, more in (
        (made.rejected, report.rejected),
        (made.mended, report.mended),
        (made.allowed, report.allowed),
    ):
        _add(counts, more)
    for source, reasons in report.rejected_of.items():
        _add(made.sources.setdefault(source, SourceCounts()).rejected, reasons)
    for name, shown in report.samples.items():
        samples = made.samples.setdefault(name, [])
        samples.extend(shown[: SAMPLES - len(samples)])
    for place, count in enumerate(np.bincount(kept["category"]).tolist()):
        if count:
            _add(made.categories, {CATEGORY_NAMES[place]: count})
    for place, count in enumerate(np.bincount(kept["origin"]).tolist()):
        if count:
            origin = report.origins[place]
            made.sources.setdefault(origin.source, SourceCounts()).kept += count
            _add(made.licences, {origin.licence: count})


def _add_duplicate(made: CleanReport, file: str, line: int, reason: str, detail: str, row: JsonRow) -> None:
    _add(made.rejected, {reason: 1})
    _add(made.sources.setdefault(source_of(row, file), SourceCounts()).rejected, {reason: 1})
    samples = made.samples.setdefault(reason, [])
    if len(samples) < SAMPLES:
        samples.append(ShownRow(file, line, detail, cut_texts(row_texts(row))))


def _add(counts: dict[str, int], more: dict[str, int]) -> None:
    for name, count in more.items():
        counts[name] = counts.get(name, 0) + count


def _write_rejects(out: IO[bytes], judged: bytes, duplicates: list[tuple[int, bytes]]) -> None:
    """Write the rejected rows of both stages in the order of their lines."""
    if not duplicates:
        out.write(judged)
        return
    lines = [(_line_number(line), line) for line in judged.splitlines(keepends=True)]
    out.writelines(line for _, line in sorted([*lines, *duplicates], key=lambda entry: entry[0]))


class _Place(msgspec.Struct):
    line: int


_place = msgspec.json.Decoder(_Place)


def _line_number(reject: bytes) -> int:
    return _place.decode(reject).line


def _runs(kept: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Runs of neighbouring rows that are kept: (first, one past the last)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], kept, [False])).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _describe_lengths(made: CleanReport, lengths: dict[str, list[npt.NDArray[np.int32]]]) -> None:
    for name, parts in lengths.items():
        values = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)
        values = values[values > 0]
        if not len(values):
            continue
        points = np.percentile(values, [50, 90, 99, 100], method="lower").astype(int).tolist()
        made.lengths[name] = dict(zip(("p50", "p90", "p99", "max"), points, strict=True))
        made.histograms[name] = np.bincount(np.log2(values).astype(int)).tolist()
