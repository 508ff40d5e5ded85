"""Token ids of a whole data set on disk, read through memory maps: a million rows cost no memory."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np

from finetune.encoding import IGNORED, Example

Array = np.ndarray[Any, np.dtype[Any]]
IDS, LEARNT, ENDS, PLACES, COUNTS = "ids.i32", "learnt.u8", "ends.i64", "places.i64", "counts.json"


@dataclass(frozen=True)
class TokenStore:
    """Sequences of token ids, each with the places that the loss covers.

    In a store of pairs, 2n is the better answer of pair n and 2n + 1 the worse one.
    """

    ids: Array
    learnt: Array
    """One byte for each id: 1 where it is learnt."""
    ends: Array
    """Where each sequence ends in `ids`."""
    places: Array
    """Byte offset of each sequence's row in its file."""
    counts: dict[str, int]
    """What became of the rows: `rows`, `too_long`, `windowed`."""

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def lengths(self) -> Array:
        """Tokens of every sequence."""
        return np.diff(self.ends, prepend=0)

    @property
    def learnt_lengths(self) -> Array:
        """Learnt tokens of every sequence."""
        if not len(self):
            return np.empty(0, np.int64)
        return np.add.reduceat(self.learnt, self.ends - self.lengths, dtype=np.int64)

    def sequence(self, index: int) -> tuple[Array, Array]:
        """(input ids, labels), both int64."""
        start = int(self.ends[index - 1]) if index else 0
        end = int(self.ends[index])
        ids = self.ids[start:end].astype(np.int64)
        return ids, np.where(self.learnt[start:end], ids, IGNORED)


def open_store(directory: Path) -> TokenStore:
    """A store that TokenWriter has written."""

    def mapped(name: str, kind: str) -> Array:
        path = directory / name
        return np.memmap(path, dtype=kind, mode="r") if path.stat().st_size else np.empty(0, kind)

    counts = json.loads((directory / COUNTS).read_text(encoding="utf-8"))
    return TokenStore(
        mapped(IDS, "<i4"), mapped(LEARNT, "u1"), mapped(ENDS, "<i8"), mapped(PLACES, "<i8"), counts
    )


class TokenWriter:
    """Writes a store into an empty directory, sequence by sequence."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.counts = {"rows": 0, "too_long": 0, "windowed": 0}
        self._end = 0
        self._files: list[BinaryIO] = []

    def __enter__(self) -> Self:
        self._files = [(self.directory / name).open("wb") for name in (IDS, LEARNT, ENDS, PLACES)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files:
            file.close()
        (self.directory / COUNTS).write_text(json.dumps(self.counts), encoding="utf-8")

    def add(self, block: "Block") -> None:
        """Append what `pack_block` made."""
        ids, learnt, lengths, places, counts = block
        ends = np.frombuffer(lengths, "<i8").cumsum() + self._end
        self._end = int(ends[-1]) if len(ends) else self._end
        for file, data in zip(self._files, (ids, learnt, ends.astype("<i8").tobytes(), places), strict=True):
            file.write(data)
        for name, number in counts.items():
            self.counts[name] += number


Block = tuple[bytes, bytes, bytes, bytes, dict[str, int]]
"""Some sequences on their way from a process that tokenises: ids, learnt, lengths, places, counts."""


def pack_block(examples: Iterable[tuple[Example, int]], counts: dict[str, int]) -> Block:
    """Sequences with the byte offsets of their rows, as bytes."""
    ids: list[int] = []
    learnt = bytearray()
    lengths, places = [], []
    for example, place in examples:
        ids += example.input_ids
        learnt += bytes(label != IGNORED for label in example.labels)
        lengths.append(len(example.input_ids))
        places.append(place)

    def packed(values: list[int], kind: str) -> bytes:
        return np.array(values, kind).tobytes()

    return packed(ids, "<i4"), bytes(learnt), packed(lengths, "<i8"), packed(places, "<i8"), counts
