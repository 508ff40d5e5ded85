"""Rows that say the same, found across files."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
import numpy.typing as npt

from finetune.data.clean.chunk import ChunkReport, CleaningRules
from finetune.data.clean.job import CleaningJob
from finetune.data.clean.minhash import BANDS, RowPairs, may_be_similar, pairs_of_band, similar_pairs
from finetune.progress import Progress, finished
from finetune.rows.fast_row import parse_row

SAME = 2.0
"""In place of a similarity, which is 1 for texts that differ in blanks and signs alone."""
_PAIRS_AT_ONCE = 20_000
_COMPARED_AT_ONCE = 500


@dataclass(frozen=True)
class Chunks:
    """The results of all chunks, in the order of their numbers."""

    stems: list[str]
    first: npt.NDArray[np.int64]
    """Number of each chunk's first good row among all; one more entry for the end."""

    def index(self, chunk: int) -> npt.NDArray[np.void]:
        index: npt.NDArray[np.void] = np.load(f"{self.stems[chunk]}.index.npy")
        return index

    def report(self, chunk: int) -> ChunkReport:
        return msgspec.json.decode(Path(f"{self.stems[chunk]}.json").read_bytes(), type=ChunkReport)

    def hashes(self) -> npt.NDArray[np.uint64]:
        """The hashes of all rows."""
        return np.concatenate([self.index(chunk)["hash"] for chunk in range(len(self.stems))])

    def locate(self, row: int) -> tuple[int, int]:
        """(chunk, place in it) of a row."""
        chunk = int(np.searchsorted(self.first, row, side="right")) - 1
        return chunk, int(row - self.first[chunk])


@dataclass(frozen=True)
class Duplicates:
    """For each row the earlier row it repeats, and how alike they are."""

    of: npt.NDArray[np.int64]
    """-1 for rows that repeat none."""
    similarity: npt.NDArray[np.float32]
    """SAME where all texts are the same, letter by letter and blank by blank."""


def load_chunks(job: CleaningJob) -> Chunks:
    stems = sorted(str(path.with_suffix("")) for path in job.work.glob("[0-9]*.json"))
    counts = [len(np.load(f"{stem}.index.npy", mmap_mode="r")) for stem in stems]
    return Chunks(stems, np.concatenate(([0], np.cumsum(counts, dtype=np.int64))).astype(np.int64))


def find_duplicates(job: CleaningJob, chunks: Chunks) -> Duplicates:
    rows = int(chunks.first[-1])
    found = Duplicates(np.full(rows, -1, dtype=np.int64), np.zeros(rows, dtype=np.float32))
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
            # Pairs come in the order of the later row, so whether the earlier row is kept is decided by now.
            if found.of[left] < 0 and found.of[right] < 0:
                found.of[right] = left
                found.similarity[right] = similarity
    return found


def _likely_pairs(job: CleaningJob, chunks: Chunks, found: Duplicates) -> RowPairs:
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
    every: RowPairs = np.unique(np.concatenate(likely), axis=0)
    return np.asarray(every[np.lexsort((every[:, 0], every[:, 1]))])


def _signatures(chunks: Chunks, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """The signatures of some rows, whose numbers are sorted."""
    parts = []
    borders = np.searchsorted(rows, chunks.first)
    for chunk, (a, b) in enumerate(pairwise(borders.tolist())):
        if a < b:
            signed = np.load(f"{chunks.stems[chunk]}.signatures.npy", mmap_mode="r")
            parts.append(signed[rows[a:b] - chunks.first[chunk]])
    return np.concatenate(parts)


def _similar(job: CleaningJob, chunks: Chunks, pairs: RowPairs) -> Iterator[tuple[int, int, float]]:
    """Those pairs that are near-duplicates, in the same order."""
    ends = [np.load(f"{stem}.index.npy", mmap_mode="r")["end"] for stem in chunks.stems] if len(pairs) else []

    def place(row: int) -> tuple[str, int, int]:
        chunk, within = chunks.locate(row)
        return (
            f"{chunks.stems[chunk]}.rows",
            int(ends[chunk][within - 1]) if within else 0,
            int(ends[chunk][within]),
        )

    def tasks() -> Iterator[tuple[float, tuple[object, ...] | None]]:
        for first in range(0, len(pairs), _COMPARED_AT_ONCE):
            some = pairs[first : first + _COMPARED_AT_ONCE]
            rows = np.unique(some)
            places = [place(row) for row in rows.tolist()]
            local = np.searchsorted(rows, some)
            done = 0.5 + 0.5 * min(1.0, (first + len(some)) / len(pairs))
            yield done, (rows.tolist(), places, local.tolist(), job.similarity)

    for done, found in job.pool.map(_compare, tasks()):
        job.report(Progress("finding near-duplicates", done, f"{len(pairs):,} pairs compared"))
        yield from found or []
    job.report(finished("finding near-duplicates", f"{len(pairs):,} pairs compared"))


def _compare(
    _rules: CleaningRules,
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
