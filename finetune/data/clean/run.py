"""Clean Dolly rows: lines judged on all cores, duplicates found across files, nothing dropped without a word.

The lines go through `chunk` stretch by stretch; its results lie in a work directory beside the output,
so memory stays flat (about 40 bytes a row, for finding duplicates) and a run that was killed goes on after
the last whole stretch.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from common.errors import UserError
from finetune.data.clean.assemble import CleanReport, assemble
from finetune.data.clean.chunk import CleaningRules, clean_chunk, write_private
from finetune.data.clean.duplicates import Chunks, find_duplicates, load_chunks
from finetune.data.clean.job import CleaningJob
from finetune.data.clean.pool import Pool
from finetune.files.line_chunks import CHUNK, LineChunk, line_chunks
from finetune.files.lock import lock_for
from finetune.files.outputs import masked_path, rejects_path
from finetune.files.unreadable import unreadable
from finetune.files.whole import whole_file
from finetune.progress import Progress, Report, finished, silent

VERSION = 2
"""Of the work directory's files and of the rules: what an older one left behind is not gone on from."""
DEFAULT_SIMILARITY = 0.8


def clean(
    inputs: Sequence[Path],
    output: Path | None,
    rules: CleaningRules,
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
    _check_inputs(inputs, output)
    with ExitStack() as stack:
        if output is None:
            work = stack.enter_context(_temporary_directory())
        else:
            identity = _identity(inputs, rules, similarity, chunk_size)
            work = stack.enter_context(_work_directory(output, identity))
        pool = stack.enter_context(Pool.opened(processes or len(os.sched_getaffinity(0)), rules))
        job = CleaningJob(work, rules, similarity, pool, report)
        _judge_all(job, inputs, chunk_size)
        chunks = load_chunks(job)
        duplicates = find_duplicates(job, chunks)
        if output is None:
            made = assemble(job, inputs, chunks, duplicates, None, None)
            write_report(made)
            return made
        with whole_file(output) as rows, whole_file(rejects_path(output)) as rejects:
            made = assemble(job, inputs, chunks, duplicates, rows, rejects)
            write_report(made)
        _write_masked(masked_path(output), chunks)
        shutil.rmtree(work)
        return made


def _check_inputs(inputs: Sequence[Path], output: Path | None) -> None:
    for path in inputs:
        if output is not None and path.resolve() in _written(output):
            raise UserError(f"{path} is read and cannot be written at the same time.")
        _check_readable(path)


def _written(output: Path) -> set[Path]:
    return {path.resolve() for path in (output, rejects_path(output), masked_path(output))}


# The first stage: every line by itself.


def _judge_all(job: CleaningJob, inputs: Sequence[Path], chunk_size: int) -> None:
    sizes = [max(1, path.stat().st_size) for path in inputs]
    started = time.monotonic()
    rows = 0

    def tasks() -> Iterator[tuple[float, tuple[object, ...] | None]]:
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
        job.report(Progress("cleaning", done, f"{rows:,} rows", left))
    job.report(finished("cleaning", f"{rows:,} rows"))


def _clean_chunk(rules: CleaningRules, work: Path, number: int, file: str, chunk: LineChunk) -> int:
    clean_chunk(work, number, file, chunk, rules)
    return chunk.data.count(b"\n")


# The second: duplicates.


# The third: rows, rejects and report.


def _write_masked(path: Path, chunks: Chunks) -> None:
    """What masks took the place of, for the owner's eyes only; no file where nothing was masked."""
    data = b"".join(Path(f"{stem}.masked").read_bytes() for stem in chunks.stems)
    if data:
        write_private(path, data)
    else:
        path.unlink(missing_ok=True)


# What lies around them.


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise unreadable(path, error, "The row file") from error


def _identity(inputs: Sequence[Path], rules: CleaningRules, similarity: float, chunk_size: int) -> str:
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
            lock_for(output, lock.fileno())
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
