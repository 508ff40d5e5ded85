"""Mix row files by weight, in an order drawn from a seed, with a manifest that says what went in."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np
import numpy.typing as npt

from common.errors import UserError
from finetune.files.whole import whole_file
from finetune.progress import Progress, Report, finished, silent
from finetune.rows.fast_row import JsonRow
from finetune.rows.reader import row_lines

_REPORT_EVERY = 50_000


@dataclass(frozen=True)
class WeightedFile:
    """A row file and its part in the mixture."""

    path: Path
    weight: float | None
    """Its share of the rows, in relation to the others'; None: all its rows once."""


@dataclass(frozen=True)
class MixedFile:
    """What became of one source."""

    path: Path
    sha256: str
    """Of the file as it is, compressed or not."""
    weight: float | None
    rows: int
    taken: int
    """Rows in the mixture; more than `rows` when it had to be gone through again."""


@dataclass(frozen=True)
class _Lines:
    """The lines of one source, readable in any order."""

    file: IO[bytes]
    ends: npt.NDArray[np.int64]


def mix(
    sources: Sequence[WeightedFile],
    output: Path,
    *,
    seed: int = 0,
    rows: int | None = None,
    report: Report = silent,
) -> list[MixedFile]:
    """Write a mixture of `sources` to `output`, in an order drawn from `seed`, and its manifest beside it.

    With weights and no number of `rows` the mixture is as large as it can be without taking a row twice. The
    same files, weights and seed give the same bytes. Raises UserError for broken rows and for weights that
    make no sense.
    """
    _check(sources, output, rows)
    with ExitStack() as stack:
        lines = []
        kinds: set[type[JsonRow]] = set()
        for number, source in enumerate(sources):
            begin, part = number / len(sources), 1 / len(sources)
            lines.append(_read(source.path, stack, kinds, report, begin, part))
        if len(kinds) > 1:
            raise UserError("Rows and preference pairs cannot be mixed.", hint="Train on each by itself.")
        counts = [len(found.ends) for found in lines]
        taken = shares([source.weight for source in sources], counts, rows)
        with whole_file(output) as out:
            digest = _write(out, lines, _order(counts, taken, seed), report)
            parts = [
                MixedFile(source.path, _sha256(source.path), source.weight, count, part)
                for source, count, part in zip(sources, counts, taken, strict=True)
            ]
            with whole_file(manifest_path(output)) as manifest:
                manifest.write(_manifest(output, digest, seed, parts))
    return parts


def manifest_path(output: Path) -> Path:
    """`mixed.jsonl` -> `mixed.manifest.json`."""
    return output.with_name(f"{output.name.removesuffix('.jsonl')}.manifest.json")


def shares(weights: Sequence[float | None], counts: Sequence[int], rows: int | None) -> list[int]:
    """How many rows each source gives: by largest remainder, so that the sum is right."""
    given = [count if weight is None else weight for weight, count in zip(weights, counts, strict=True)]
    if rows is None:
        if None in weights:
            return list(counts)
        scale = min(count / weight for count, weight in zip(counts, given, strict=True))
        rows = int(sum(given) * scale + 1e-9)
    exact = [weight / sum(given) * rows for weight in given]
    whole = [int(part + 1e-9) for part in exact]
    rest = sorted(range(len(exact)), key=lambda place: whole[place] - exact[place])
    for place in rest[: rows - sum(whole)]:
        whole[place] += 1
    return whole


def _check(sources: Sequence[WeightedFile], output: Path, rows: int | None) -> None:
    weighted = [source for source in sources if source.weight is not None]
    if weighted and len(weighted) < len(sources):
        bare = next(source for source in sources if source.weight is None)
        raise UserError(f"{bare.path} has no weight.", hint="Give every file one (FILE=WEIGHT), or none.")
    for source in weighted:
        if not source.weight or source.weight < 0:
            raise UserError(f"The weight of {source.path} must be above 0.")
    if rows is not None and rows < len(sources):
        raise UserError(f"{rows} rows are too few for {len(sources)} files.")
    for source in sources:
        if source.path.resolve() == output.resolve():
            raise UserError(f"{output} is read and cannot be written at the same time.")


def _read(
    path: Path, stack: ExitStack, kinds: set[type[JsonRow]], report: Report, begin: float, part: float
) -> _Lines:
    """Copy the rows' lines where they can be read in any order, check each, and add their types to
    `kinds`."""
    try:
        copy = stack.enter_context(TemporaryFile(prefix="kodolly-mix-"))  # noqa: SIM115
        ends = []
        end = 0
        for line, row, done in row_lines(path):
            kinds.add(type(row))
            copy.write(line)
            end += len(line)
            ends.append(end)
            if len(ends) % _REPORT_EVERY == 0:
                report(Progress("reading", begin + part * done, f"{path.name}: {len(ends):,} rows"))
        copy.flush()
    except OSError as error:
        raise UserError(
            f"No room for a copy of {path}: {error.strerror}.", hint="TMPDIR names another disk."
        ) from error
    return _Lines(copy, np.array(ends, dtype=np.int64))


def _order(counts: Sequence[int], taken: Sequence[int], seed: int) -> Iterator[tuple[int, int]]:
    """(source, row) in the mixture's order."""
    chosen = []
    for place, (count, part) in enumerate(zip(counts, taken, strict=True)):
        draw = np.random.default_rng([seed, place])
        rounds = [draw.permutation(count) for _ in range(-(-part // count))]
        rows = np.concatenate(rounds)[:part] if rounds else np.zeros(0, dtype=np.int64)
        chosen.append(np.stack((np.full(part, place, dtype=np.int64), rows), axis=1))
    every = np.concatenate(chosen)
    np.random.default_rng([seed, len(counts)]).shuffle(every, axis=0)
    for first in range(0, len(every), _REPORT_EVERY):
        yield from every[first : first + _REPORT_EVERY].tolist()


def _write(out: IO[bytes], lines: Sequence[_Lines], order: Iterator[tuple[int, int]], report: Report) -> str:
    """Write the rows in `order`; the SHA-256 of what was written."""
    digest = hashlib.sha256()
    with ExitStack() as stack:
        views = [stack.enter_context(mmap(found.file.fileno(), 0, access=ACCESS_READ)) for found in lines]
        total = sum(len(found.ends) for found in lines)
        for number, (source, row) in enumerate(order, start=1):
            ends = lines[source].ends
            line = views[source][ends[row - 1] if row else 0 : ends[row]]
            digest.update(line)
            out.write(line)
            if number % _REPORT_EVERY == 0:
                report(Progress("writing", number / total, f"{number:,} rows"))
    report(finished("writing"))
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(output: Path, digest: str, seed: int, parts: Sequence[MixedFile]) -> bytes:
    manifest = {
        "output": {"file": output.name, "sha256": digest, "rows": sum(part.taken for part in parts)},
        "seed": seed,
        "sources": [
            {
                "file": str(part.path),
                "sha256": part.sha256,
                "rows": part.rows,
                "weight": part.weight,
                "taken": part.taken,
            }
            for part in parts
        ],
    }
    return json.dumps(manifest, ensure_ascii=False, indent=2).encode() + b"\n"
