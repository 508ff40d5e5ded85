"""Published instruction data to Dolly rows or preference pairs: files in, one JSONL file out.

The output grows under another name beside its own and takes its name when it is whole. A journal says how far
both parts are good, so that the same command goes on after a kill. Memory stays flat: a few batches are under
way.
"""

import errno
import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from multiprocessing import active_children
from pathlib import Path
from typing import BinaryIO

import msgspec

from common.errors import KodollyError, UserError
from finetune.data.convert import oasst, sources
from finetune.data.convert.batch import Converted, FileTask, RecordCounts, convert_batch
from finetune.data.convert.fields import ConvertOptions, Record, Roles
from finetune.data.convert.formats import (
    BY_NAME,
    check_format,
    origin,
    recognise,
    swapped_roles,
    table_columns,
)
from finetune.data.convert.sources import InputFile, RecordBatch
from finetune.files.child_process import process_pool
from finetune.files.lock import lock_for
from finetune.files.outputs import rejects_path
from finetune.files.unreadable import unreadable
from finetune.progress import Progress, Report, finished, silent

VERSION = 3
"""Raise it when the same input would give other rows: a journal of another version is not gone on with."""
_SAMPLE = 1000
_ONE_PROCESS_BYTES = 16_000_000
"""Inputs up to this size are converted by this process alone: starting others takes longer."""
_JOURNAL_EVERY_S = 2.0


@dataclass(frozen=True)
class ConvertRequest:
    """What to convert, and how."""

    inputs: tuple[Path, ...]
    """Files, or directories whose data files, at any depth, are taken in the order of their names."""
    output: Path
    format: str | None = None
    """One of `finetune.data.convert.formats.FORMATS`; None: recognised, file by file."""
    columns: tuple[tuple[str, str], ...] = ()
    roles: Roles = "checked"
    pairs: bool = False
    labels: bool = False
    strict: bool = False
    window: int = 1500
    source: str | None = None
    """`meta.source` of every row; None: the published data's name, else the file's."""
    licence: str | None = None
    """`meta.licence` of every row; None: the published data's, where it is known."""


class FileCounts(msgspec.Struct):
    """What became of one file."""

    file: str
    format: str
    licence: str
    counts: RecordCounts
    warning: str = ""
    """What may be wrong with the whole file, or ''."""


@dataclass(frozen=True)
class Conversion:
    """What was written."""

    output: Path
    rejects: Path | None
    """The refused records with their reasons, or None where there are none."""
    files: tuple[FileCounts, ...]
    resumed: bool

    @property
    def total(self) -> RecordCounts:
        counts = RecordCounts()
        for file in self.files:
            counts.add(msgspec.convert(msgspec.to_builtins(file.counts), RecordCounts))
        return counts


class _Journal(msgspec.Struct):
    """How far a conversion has come: the parts up to these lengths hold all batches up to this one."""

    request: str
    """Hash of inputs and options: only the same command goes on."""
    file: int = 0
    batch: int = 0
    rows_bytes: int = 0
    refused_bytes: int = 0
    files: list[FileCounts] = []


def convert(request: ConvertRequest, report: Report = silent) -> Conversion:
    """Convert the request's inputs and write its output, and refused records beside it (`rejects_path`).

    A record that makes no row is refused with its reason and the rest goes on. Raises UserError where that
    makes no sense: a file that cannot be read on, an unknown format, most records broken, roles that look
    swapped, no row at all. Nothing is written then, and a file of that name stays as it was.
    """
    if request.pairs + request.labels + request.strict > 1:
        raise UserError(
            "Preference pairs, rows with labels and strict rows, which have four keys, are different rows.",
            hint="Ask for one of them.",
        )
    inputs = _files(request)
    tasks = [_task(path, request) for path in inputs]
    rejects = rejects_path(request.output)
    with ExitStack() as stack:
        parts = stack.enter_context(_parts(request.output, _request_hash(request, inputs)))
        resumed = parts.journal.batch > 0 or parts.journal.file > 0
        sizes = [path.stat().st_size for path in inputs]
        run = stack.enter_context(_runner(sum(sizes)))
        began = time.monotonic()
        begun_at = sum(sizes[: parts.journal.file])
        total = max(1, sum(sizes))
        for place in range(parts.journal.file, len(inputs)):
            source, task = tasks[place]
            counts = parts.counts_of(place, task)
            skipped = parts.journal.batch
            for converted, done in run(islice(_batches(source, task), skipped, None), task):
                parts.write(converted)
                counts.add(converted.counts)
                parts.note_now_and_then()
                read = sum(sizes[:place]) + done * sizes[place]
                report(_progress(source, parts.journal.files, read / total, (read - begun_at) / total, began))
            _check_shape(source, task, counts)
            parts.next_file()
        _refuse_without_rows(request, parts.journal.files)
        any_refused = parts.journal.refused_bytes > 0
        parts.finish(rejects)
        report(finished("convert", _detail(parts.journal.files)))
    return Conversion(request.output, rejects if any_refused else None, tuple(parts.journal.files), resumed)


def _refuse_without_rows(request: ConvertRequest, files: Sequence[FileCounts]) -> None:
    if not any(file.counts.rows for file in files):
        reasons = chain.from_iterable(file.counts.reasons.values() for file in files)
        first = next((f" The first reason: {one.reason} (line {one.line})." for one in reasons), "")
        raise UserError(f"No row came out of {', '.join(map(str, request.inputs))}.{first}")


def _files(request: ConvertRequest) -> list[Path]:
    found: list[Path] = []
    for path in request.inputs:
        if path.is_dir():
            names = sorted(inner for inner in path.rglob("*") if _is_data(inner))
            if not names:
                raise UserError(
                    f"{path} holds no data files.",
                    hint=f"Their names end in {', '.join(sources.DATA_NAMES)}.",
                )
            found += names
        elif path.exists():
            found.append(path)
        else:
            raise unreadable(path, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))
    for path in found:
        if request.output.exists() and path.samefile(request.output):
            raise UserError(f"{path} is both input and output.", hint="Name another output.")
    return found


def _is_data(path: Path) -> bool:
    named = any(suffix in sources.DATA_NAMES for suffix in path.suffixes)
    return named and not path.name.startswith(".") and path.is_file()


def _task(path: Path, request: ConvertRequest) -> tuple[InputFile, FileTask]:
    """How to read and convert one file. Raises UserError where that cannot be known."""
    source = sources.open_source(path)
    first = islice(sources.batches(source), 1)
    found = [
        numbered for batch in first for numbered in islice(sources.records(batch, source.encoding), _SAMPLE)
    ]
    sample: list[Record] = [record for _, record in found if isinstance(record, dict)]
    if not found:
        raise UserError(f"{path} holds no records.")
    if not sample:
        number, reason = found[0]
        raise UserError(f"{path}, line {number}: {reason}.", hint="Each line must be one JSON object.")
    meta = {}
    published = origin(path)
    for key, value in (
        ("source", published.source if request.source is None else request.source),
        ("licence", published.licence if request.licence is None else request.licence),
    ):
        if value:
            meta[key] = value
    options = ConvertOptions(
        request.pairs, request.labels, request.roles, dict(request.columns), request.window, meta
    )
    if request.format is not None and request.format not in BY_NAME:
        raise UserError(f"There is no format {request.format!r}.", hint=f"It is one of {', '.join(BY_NAME)}.")
    known = BY_NAME[request.format] if request.format else recognise(sample, options, path)
    check_format(known, sample, options, path)
    if known.name == "table":
        options = replace(options, columns=table_columns(sample, options, path))
    swapped = swapped_roles(known, sample, options)
    if swapped.reason:
        raise UserError(
            f"{path}: questions and answers look swapped: {swapped.reason}.",
            hint="If they are right, say --roles human-asks; docs/data.md tells more.",
        )
    return source, FileTask(str(path), known.name, source.encoding, options, request.strict, swapped.warning)


def _check_shape(source: InputFile, task: FileTask, counts: RecordCounts) -> None:
    """Raises UserError where most of a file is not what it was taken for."""
    if counts.broken * 2 > counts.records:
        first = max(counts.reasons.values(), key=lambda one: one.count)
        raise UserError(
            f"{source.path} is not {task.format}: {counts.broken:,} of {counts.records:,} records are not, "
            f"most often: {first.reason} (first in line {first.line:,}).",
            hint="Name the right --format, or mend the file.",
        )


def _batches(source: InputFile, task: FileTask) -> Iterator[RecordBatch]:
    found = sources.batches(source)
    return _trees(found, source.encoding) if task.format == "oasst-messages" else found


def _trees(found: Iterator[RecordBatch], encoding: str) -> Iterator[RecordBatch]:
    done = 0.0

    def numbered() -> Iterator[sources.Numbered]:
        nonlocal done
        for batch in found:
            done = batch.done
            yield from sources.records(batch, encoding)

    for group in sources.groups(oasst.gather_trees(numbered())):
        yield RecordBatch(group, group[0][0], done)


ConvertBatches = Callable[[Iterable[RecordBatch], FileTask], Iterator[tuple[Converted, float]]]


@contextmanager
def _runner(size: int) -> Iterator[ConvertBatches]:
    """Converts batches in order: on all cores where `size` bytes are worth it, else here."""
    cores = len(os.sched_getaffinity(0))
    if size <= _ONE_PROCESS_BYTES or cores == 1:
        yield lambda found, task: ((convert_batch(batch, task), batch.done) for batch in found)
        return
    others = set(active_children())
    pool = process_pool(cores)

    def run(found: Iterable[RecordBatch], task: FileTask) -> Iterator[tuple[Converted, float]]:
        under_way: deque[tuple[Future[Converted], float]] = deque()
        try:
            for batch in found:
                under_way.append((pool.submit(convert_batch, batch, task), batch.done))
                if len(under_way) > 2 * cores:
                    future, done = under_way.popleft()
                    yield future.result(), done
            for future, done in under_way:
                yield future.result(), done
        except (BrokenProcessPool, OSError) as error:  # OSError: from submit, while the pool is breaking
            for child in set(active_children()) - others:
                # The pool may have missed a process that was just starting, and would wait for it.
                child.kill()
            raise KodollyError(
                "A process that converts was killed; perhaps memory ran out.",
                hint="The same command goes on from here.",
            ) from error

    try:
        yield run
    finally:
        pool.shutdown(cancel_futures=True)


class _GrowingFiles:
    """The two files that grow, and the journal that says how far they are good."""

    def __init__(self, output: Path, rows: BinaryIO, refused: BinaryIO, journal: _Journal) -> None:
        self.output, self.rows, self.refused, self.journal = output, rows, refused, journal
        self.noted = time.monotonic()

    def write(self, converted: Converted) -> None:
        self.rows.write(converted.rows)
        self.refused.write(converted.refused)
        self.journal.rows_bytes += len(converted.rows)
        self.journal.refused_bytes += len(converted.refused)
        self.journal.batch += 1

    def counts_of(self, place: int, task: FileTask) -> RecordCounts:
        """What the input at `place` has given so far."""
        if len(self.journal.files) == place:
            licence = str(task.options.meta.get("licence", ""))
            self.journal.files.append(
                FileCounts(task.file, task.format, licence, RecordCounts(), task.warning)
            )
        return self.journal.files[place].counts

    def next_file(self) -> None:
        self.journal.file += 1
        self.journal.batch = 0
        self.note()

    def note_now_and_then(self) -> None:
        if time.monotonic() - self.noted > _JOURNAL_EVERY_S:
            self.note()

    def note(self) -> None:
        for part in (self.rows, self.refused):
            part.flush()
            os.fdatasync(part.fileno())
        path = _beside(self.output, "journal")
        new = path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(self.journal))
        new.replace(path)
        self.noted = time.monotonic()

    def finish(self, rejects: Path) -> None:
        """Give the parts their names; the rows last, so that rows that are there are whole."""
        self.note()
        if self.journal.refused_bytes:
            _beside(self.output, "rejected").replace(rejects)
        else:
            rejects.unlink(missing_ok=True)
        _beside(self.output, "rows").replace(self.output)
        self.discard()

    def discard(self) -> None:
        for name in ("rows", "rejected", "journal"):
            _beside(self.output, name).unlink(missing_ok=True)


@contextmanager
def _parts(output: Path, request: str) -> Iterator[_GrowingFiles]:
    """The parts of a conversion begun before with the same request, or new ones. Raises UserError."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            rows = stack.enter_context(_beside(output, "rows").open("ab", buffering=1 << 20))
            lock_for(output, rows.fileno())
            refused = stack.enter_context(_beside(output, "rejected").open("ab", buffering=1 << 20))
            journal = _Journal(request)
            with suppress(OSError, msgspec.DecodeError):
                found = msgspec.json.decode(_beside(output, "journal").read_bytes(), type=_Journal)
                whole = all(
                    os.fstat(part.fileno()).st_size >= length
                    for part, length in ((rows, found.rows_bytes), (refused, found.refused_bytes))
                )
                if found.request == request and whole:
                    journal = found
            rows.truncate(journal.rows_bytes)
            refused.truncate(journal.refused_bytes)
            parts = _GrowingFiles(output, rows, refused, journal)
            try:
                yield parts
            except UserError:
                parts.discard()
                raise
    except OSError as error:
        raise UserError(f"{output} cannot be written: {error.strerror or error}.") from error


def _beside(output: Path, name: str) -> Path:
    return output.with_name(f".{output.name}.converting.{name}")


def _request_hash(request: ConvertRequest, inputs: Sequence[Path]) -> str:
    files = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in inputs]
    said = [VERSION, files, replace(request, inputs=(), output=Path())]
    return hashlib.sha256(repr(said).encode()).hexdigest()


def _progress(
    source: InputFile, files: Sequence[FileCounts], done: float, here: float, began: float
) -> Progress:
    took = time.monotonic() - began
    left = took / here * (1 - done) if here > 0.01 and took > 1 else None
    return Progress(f"convert {source.path.name}", done, _detail(files), left)


def _detail(files: Sequence[FileCounts]) -> str:
    rows = sum(file.counts.rows for file in files)
    refused = sum(file.counts.refused for file in files)
    return f"{rows:,} rows" + (f", {refused:,} refused" if refused else "")
