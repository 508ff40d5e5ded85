"""Clean Dolly rows: lines judged on all cores, duplicates found across files, nothing dropped without a word.

The lines go through `clean_chunk` stretch by stretch; its results lie in a work directory beside the output,
so memory stays flat (about 40 bytes a row, for finding duplicates) and a run that was killed goes on after
the last whole stretch.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
import numpy.typing as npt

from common.errors import UserError
from finetune.data.child_process import process_pool
from finetune.data.clean_chunk import (
    CATEGORY_NAMES,
    SAMPLES,
    ChunkReport,
    Rules,
    Sample,
    clean_chunk,
    cut_texts,
    reject_line,
    row_texts,
    source_of,
    write_private,
)
from finetune.data.line_chunks import CHUNK, Chunk, line_chunks, whole_file
from finetune.data.near_duplicates import BANDS, Pairs, may_be_similar, pairs_of_band, similar_pairs
from finetune.data.outputs import masked_path, rejects_path
from finetune.data.row_json import JsonRow, parse_row
from finetune.data.unreadable import unreadable
from finetune.progress import Progress, Report, silent, under_way

VERSION = 2
"""Of the work directory's files and of the rules: what an older one left behind is not gone on from."""
DEFAULT_SIMILARITY = 0.8
SAME = 2.0
"""In place of a similarity, which is 1 for texts that differ in blanks and signs alone."""
_PAIRS_AT_ONCE = 20_000
_COMPARED_AT_ONCE = 500
_IN_FLIGHT = 2
"""Stretches read ahead for each process."""


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
    """Reason -> rows (finetune.data.reasons.REJECTED)."""
    mended: dict[str, int] = {}
    """What was put right -> rows (finetune.data.reasons.MENDED); duplicates included."""
    allowed: dict[str, int] = {}
    sources: dict[str, SourceCounts] = {}
    categories: dict[str, int] = {}
    """Of the rows kept, as the next two."""
    licences: dict[str, int] = {}
    lengths: dict[str, dict[str, int]] = {}
    """instruction, context, response -> percentile -> characters."""
    histograms: dict[str, list[int]] = {}
    """instruction, context, response -> rows of 1, 2-3, 4-7, 8-15 ... characters; empty texts are left
    out."""
    samples: dict[str, list[Sample]] = {}
    """Reason or mended -> at most five rows."""
    evaluation_items: int = 0
    evaluation_items_too_short: int = 0


@dataclass
class _Job:
    """What the stages of one run share."""

    work: Path
    rules: Rules
    similarity: float
    pool: "_Pool"
    report: Report
    files: list[Path] = field(default_factory=list)


def clean(
    inputs: Sequence[Path],
    output: Path | None,
    rules: Rules,
    *,
    similarity: float = DEFAULT_SIMILARITY,
    processes: int | None = None,
    chunk_size: int = CHUNK,
    report: Report = silent,
    write_report: Callable[[CleanReport], None] = lambda _report: None,
) -> CleanReport:
    """Clean the rows of `inputs`: those kept go to `output`, the others to `rejects_path(output)`.

    Without an output nothing is written: a check. Of duplicates the first row in the order of `inputs` stays.
    `similarity` is the Jaccard similarity from which rows are near-duplicates, if the rules ask for them.
    `write_report` is called before the output takes its name. Raises UserError for files that cannot be read
    or written.
    """
    for path in inputs:
        if output is not None and path.resolve() in _written(output):
            raise UserError(f"{path} is read and cannot be written at the same time.")
        _check_readable(path)
    with ExitStack() as stack:
        if output is None:
            work = stack.enter_context(_temporary_directory())
        else:
            identity = _identity(inputs, rules, similarity, chunk_size)
            work = stack.enter_context(_work_directory(output, identity))
        pool = stack.enter_context(_Pool.opened(processes or len(os.sched_getaffinity(0)), rules))
        job = _Job(work, rules, similarity, pool, report)
        _judge_all(job, inputs, chunk_size)
        chunks = _load_chunks(job)
        duplicates = _find_duplicates(job, chunks)
        if output is None:
            made = _assemble(job, inputs, chunks, duplicates, None, None)
            write_report(made)
            return made
        with whole_file(output) as rows, whole_file(rejects_path(output)) as rejects:
            made = _assemble(job, inputs, chunks, duplicates, rows, rejects)
            write_report(made)
        _write_masked(masked_path(output), chunks)
        shutil.rmtree(work)
        return made


def _written(output: Path) -> set[Path]:
    return {path.resolve() for path in (output, rejects_path(output), masked_path(output))}


# The first stage: every line by itself.


def _judge_all(job: _Job, inputs: Sequence[Path], chunk_size: int) -> None:
    sizes = [max(1, path.stat().st_size) for path in inputs]
    started = time.monotonic()
    rows = 0

    def tasks() -> Iterator[tuple[float, tuple[Any, ...] | None]]:
        number = 0
        for place, path in enumerate(inputs):
            for chunk in line_chunks(path, chunk_size):
                done = (sum(sizes[:place]) + chunk.done * sizes[place]) / sum(sizes)
                whole = (job.work / f"{number:06d}.json").exists()
                yield done, None if whole else (job.work, number, str(path), chunk)
                number += 1

    begun: float | None = None
    for done, count in job.pool.map(_clean_chunk, tasks()):
        rows += count or 0
        if count is not None and begun is None:
            begun, started = done, time.monotonic()
        spent = time.monotonic() - started
        way = done - (begun or 0)
        left = spent / way * (1 - done) if way > 0 else None
        job.report(Progress("cleaning", under_way(done), f"{rows:,} rows", left))
    job.report(Progress("cleaning", 1.0, f"{rows:,} rows"))


def _clean_chunk(rules: Rules, work: Path, number: int, file: str, chunk: Chunk) -> int:
    clean_chunk(work, number, file, chunk, rules)
    return chunk.data.count(b"\n")


# The second: duplicates.


@dataclass(frozen=True)
class _Chunks:
    """The results of all chunks, by their numbers."""

    stems: list[str]
    first: npt.NDArray[np.int64]
    """Number of each chunk's first good row among all; one more entry for the end."""

    def index(self, chunk: int) -> Any:
        return np.load(f"{self.stems[chunk]}.index.npy")

    def report(self, chunk: int) -> ChunkReport:
        return msgspec.json.decode(Path(f"{self.stems[chunk]}.json").read_bytes(), type=ChunkReport)

    def hashes(self) -> npt.NDArray[np.uint64]:
        """Of all rows."""
        return np.concatenate([self.index(chunk)["hash"] for chunk in range(len(self.stems))])

    def locate(self, row: int) -> tuple[int, int]:
        """(chunk, place in it) of a row."""
        chunk = int(np.searchsorted(self.first, row, side="right")) - 1
        return chunk, int(row - self.first[chunk])


@dataclass(frozen=True)
class _Duplicates:
    """For each row the earlier row it repeats, and how alike they are."""

    of: npt.NDArray[np.int64]
    """-1 for rows that repeat none."""
    similarity: npt.NDArray[np.float32]
    """SAME where all texts are the same, letter by letter and blank by blank."""


def _load_chunks(job: _Job) -> _Chunks:
    stems = sorted(str(path.with_suffix("")) for path in job.work.glob("[0-9]*.json"))
    counts = [len(np.load(f"{stem}.index.npy", mmap_mode="r")) for stem in stems]
    return _Chunks(stems, np.concatenate(([0], np.cumsum(counts, dtype=np.int64))).astype(np.int64))


def _find_duplicates(job: _Job, chunks: _Chunks) -> _Duplicates:
    rows = int(chunks.first[-1])
    found = _Duplicates(np.full(rows, -1, dtype=np.int64), np.zeros(rows, dtype=np.float32))
    if not rows:
        return found
    if "duplicate" not in job.rules.allow:
        _, firsts, groups = np.unique(chunks.hashes(), return_index=True, return_inverse=True)
        first = firsts[groups]
        repeats = first != np.arange(rows)
        found.of[repeats] = first[repeats]
        found.similarity[repeats] = SAME
    if job.rules.near_duplicates:
        for left, right, similarity in _similar(job, chunks, _likely_pairs(job, chunks, found)):
            # In the order of the later row: whether the earlier one stays is known by now.
            if found.of[left] < 0 and found.of[right] < 0:
                found.of[right] = left
                found.similarity[right] = similarity
    return found


def _likely_pairs(job: _Job, chunks: _Chunks, found: _Duplicates) -> Pairs:
    """Pairs of rows that may be near-duplicates, by the later row, then the earlier."""
    likely = [np.zeros((0, 2), dtype=np.int64)]
    for band in range(BANDS):
        keys = np.concatenate([np.load(f"{s}.bands.npy", mmap_mode="r")[band] for s in chunks.stems])
        keys[found.of >= 0] = 0
        pairs = pairs_of_band(keys)
        for first in range(0, len(pairs), _PAIRS_AT_ONCE):
            some = pairs[first : first + _PAIRS_AT_ONCE]
            rows, places = np.unique(some, return_inverse=True)
            signed = _signatures(chunks, rows)
            left, right = places.reshape(some.shape).T
            likely.append(some[may_be_similar(signed[left], signed[right], job.similarity)])
        job.report(Progress("finding near-duplicates", 0.5 * (band + 1) / BANDS))
    every: Pairs = np.unique(np.concatenate(likely), axis=0)
    return np.asarray(every[np.lexsort((every[:, 0], every[:, 1]))])


def _signatures(chunks: _Chunks, rows: npt.NDArray[np.int64]) -> Any:
    """Of some rows, which are sorted."""
    parts = []
    borders = np.searchsorted(rows, chunks.first)
    for chunk, (a, b) in enumerate(pairwise(borders.tolist())):
        if a < b:
            signed = np.load(f"{chunks.stems[chunk]}.signatures.npy", mmap_mode="r")
            parts.append(signed[rows[a:b] - chunks.first[chunk]])
    return np.concatenate(parts)


def _similar(job: _Job, chunks: _Chunks, pairs: Pairs) -> Iterator[tuple[int, int, float]]:
    """Those pairs that are near-duplicates, in the same order."""
    ends = [np.load(f"{stem}.index.npy", mmap_mode="r")["end"] for stem in chunks.stems] if len(pairs) else []

    def place(row: int) -> tuple[str, int, int]:
        chunk, within = chunks.locate(row)
        return (
            f"{chunks.stems[chunk]}.rows",
            int(ends[chunk][within - 1]) if within else 0,
            int(ends[chunk][within]),
        )

    def tasks() -> Iterator[tuple[float, tuple[Any, ...] | None]]:
        for first in range(0, len(pairs), _COMPARED_AT_ONCE):
            some = pairs[first : first + _COMPARED_AT_ONCE]
            rows = np.unique(some)
            places = [place(row) for row in rows.tolist()]
            local = np.searchsorted(rows, some)
            done = 0.5 + 0.5 * min(1.0, (first + len(some)) / len(pairs))
            yield done, (rows.tolist(), places, local.tolist(), job.similarity)

    for done, found in job.pool.map(_compare, tasks()):
        job.report(Progress("finding near-duplicates", under_way(done), f"{len(pairs):,} pairs compared"))
        yield from found or []
    job.report(Progress("finding near-duplicates", 1.0, f"{len(pairs):,} pairs compared"))


def _compare(
    _rules: Rules,
    rows: list[int],
    places: list[tuple[str, int, int]],
    pairs: list[tuple[int, int]],
    similarity: float,
) -> list[tuple[int, int, float]]:
    files: dict[str, IO[bytes]] = {}
    with ExitStack() as stack:
        loaded = []
        for path, start, end in places:
            if path not in files:
                files[path] = stack.enter_context(open(path, "rb"))
            files[path].seek(start)
            loaded.append(parse_row(files[path].read(end - start)))
    return [(rows[a], rows[b], alike) for a, b, alike in similar_pairs(loaded, pairs, similarity)]


# The third: rows, rejects and report.


def _assemble(
    job: _Job,
    inputs: Sequence[Path],
    chunks: _Chunks,
    duplicates: _Duplicates,
    rows: IO[bytes] | None,
    rejects: IO[bytes] | None,
) -> CleanReport:
    made = CleanReport({str(path): 0 for path in inputs})
    lengths: dict[str, list[npt.NDArray[np.int32]]] = {"instruction": [], "context": [], "response": []}
    reports = [chunks.report(chunk) for chunk in range(len(chunks.stems))]
    line_numbers = [chunks.index(chunk)["line"].copy() for chunk in range(len(chunks.stems))]
    for chunk, (stem, report) in enumerate(zip(chunks.stems, reports, strict=True)):
        index = chunks.index(chunk)
        first = int(chunks.first[chunk])
        repeated = duplicates.of[first : first + len(index)]
        kept = repeated < 0
        data = Path(f"{stem}.rows").read_bytes()
        _add_chunk_report(made, report, index[kept])
        dropped = []
        for within in np.flatnonzero(~kept).tolist():
            row = parse_row(data[int(index["end"][within - 1]) if within else 0 : int(index["end"][within])])
            other, place = chunks.locate(int(repeated[within]))
            where = f"{reports[other].file}, line {line_numbers[other][place]}"
            alike = float(duplicates.similarity[first + within])
            reason = "duplicate" if alike == SAME else "near_duplicate"
            detail = f"of {where}" if alike == SAME else f"{alike:.2f} like {where}"
            line = int(index["line"][within])
            _add_duplicate(made, report.file, line, reason, detail, row)
            dropped.append((line, reject_line(report.file, line, reason, detail, {"row": row})))
        for name, values in lengths.items():
            values.append(index[name][kept])
        if rows is not None:
            for start, end in _runs(kept):
                rows.write(data[int(index["end"][start - 1]) if start else 0 : int(index["end"][end - 1])])
        if rejects is not None:
            _write_rejects(rejects, Path(f"{stem}.rejected").read_bytes(), dropped)
        job.report(
            Progress(
                "writing" if rows else "counting", (chunk + 1) / len(chunks.stems), f"{made.kept:,} kept"
            )
        )
    if not made.read:
        raise UserError(f"{', '.join(map(str, inputs))}: no rows there.")
    _describe_lengths(made, lengths)
    if job.rules.evaluation is not None:
        made.evaluation_items = len(job.rules.evaluation.names)
        made.evaluation_items_too_short = job.rules.evaluation.too_short
    return made


def _write_masked(path: Path, chunks: _Chunks) -> None:
    """What masks took the place of, for the owner's eyes only; no file where nothing was masked."""
    data = b"".join(Path(f"{stem}.masked").read_bytes() for stem in chunks.stems)
    if data:
        write_private(path, data)
    else:
        path.unlink(missing_ok=True)


def _add_chunk_report(made: CleanReport, report: ChunkReport, kept: Any) -> None:
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
        samples.append(Sample(file, line, detail, cut_texts(row_texts(row))))


def _add(counts: dict[str, int], more: dict[str, int]) -> None:
    for name, count in more.items():
        counts[name] = counts.get(name, 0) + count


def _write_rejects(out: IO[bytes], judged: bytes, duplicates: list[tuple[int, bytes]]) -> None:
    """Both in the order of their lines."""
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
    """Stretches of rows that are kept: (first, one past the last)."""
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


# What lies around them.


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise unreadable(path, error, "The row file") from error


def _identity(inputs: Sequence[Path], rules: Rules, similarity: float, chunk_size: int) -> str:
    """The same for a run that may go on from what another left."""
    files = [(str(path.resolve()), (stat := path.stat()).st_size, stat.st_mtime_ns) for path in inputs]
    index = rules.evaluation
    evaluation = hashlib.sha256()
    if index is not None:
        evaluation.update("\n".join(index.names).encode() + index.windows.tobytes() + index.probes.tobytes())
        evaluation.update(index.stubs.tobytes())
    facts = (
        VERSION,
        files,
        sorted(rules.allow),
        sorted(rules.masks),
        rules.commercial,
        rules.near_duplicates,
        evaluation.hexdigest(),
        similarity,
        chunk_size,
    )
    return json.dumps(facts, ensure_ascii=False)


@contextmanager
def _work_directory(output: Path, identity: str) -> Iterator[Path]:
    """The directory for what lies between; what a run of the same left there is kept. Raises UserError."""
    work = output.with_name(f"{output.name}.work")
    try:
        work.mkdir(parents=True, exist_ok=True)
        with (work / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(f"{output} is being written by another run.") from error
            job = work / "job.json"
            if not job.exists() or job.read_text(encoding="utf-8") != identity:
                for path in work.iterdir():
                    if path.name != "lock":
                        path.unlink()
                job.write_text(identity, encoding="utf-8")
            yield work
    except OSError as error:
        raise UserError(f"{work} cannot be written: {error.strerror or error}.") from error


@contextmanager
def _temporary_directory() -> Iterator[Path]:
    try:
        with tempfile.TemporaryDirectory(prefix="kodolly-check-") as directory:
            yield Path(directory)
    except OSError as error:
        raise UserError(
            f"A temporary directory cannot be written: {error.strerror or error}.",
            hint="A check takes about as much room as the rows; TMPDIR names another disk.",
        ) from error


class _Pool:
    """Runs a function over tasks on all cores, in order, with a bounded number of tasks waiting."""

    def __init__(self, processes: int, rules: Rules) -> None:
        self.processes = processes
        self.rules = rules
        self.executor: ProcessPoolExecutor | None = None

    @staticmethod
    @contextmanager
    def opened(processes: int, rules: Rules) -> Iterator["_Pool"]:
        pool = _Pool(processes, rules)
        try:
            yield pool
        except BrokenProcessPool as error:
            raise UserError(
                "A process was killed while it worked, most likely for want of memory.",
                hint="Give the same command again with --processes 1: it goes on where this run stopped.",
            ) from error
        finally:
            if pool.executor is not None:
                pool.executor.shutdown(cancel_futures=True)

    def map(
        self,
        function: Callable[..., Any],
        tasks: Iterable[tuple[float, tuple[Any, ...] | None]],
    ) -> Iterator[tuple[float, Any]]:
        """(share done, result of `function(rules, *arguments)`) for (share done, arguments); None for
        None."""
        tasks = iter(tasks)
        ahead = list(islice(tasks, 2))
        every = chain(ahead, tasks)
        if self.processes == 1 or (len(ahead) < 2 and self.executor is None):
            for done, arguments in every:
                yield done, None if arguments is None else function(self.rules, *arguments)
            return
        executor = self._executor()
        waiting: list[tuple[float, Future[Any] | None]] = []
        for done, arguments in every:
            waiting.append(
                (done, None if arguments is None else executor.submit(_in_process, function, *arguments))
            )
            if len(waiting) > self.processes * _IN_FLIGHT:
                finished, future = waiting.pop(0)
                yield finished, future.result() if future else None
        for finished, future in waiting:
            yield finished, future.result() if future else None

    def _executor(self) -> ProcessPoolExecutor:
        if self.executor is None:
            self.executor = process_pool(self.processes, _begin_process, self.rules)
        return self.executor


_rules_of_process: Rules | None = None


def _begin_process(rules: Rules) -> None:
    """The rules come once to each process, not with each task: an evaluation index may be large."""
    global _rules_of_process
    _rules_of_process = rules
    os.environ["RAYON_NUM_THREADS"] = "1"  # rensa's; the processes take all cores already


def _in_process(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(_rules_of_process, *arguments)
