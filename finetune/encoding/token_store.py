"""Token ids of a whole data set on disk, read through memory maps, so that a million rows need no memory."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np

from finetune.encoding.encode import IGNORED, Example

Array = np.ndarray[Any, np.dtype[Any]]
IDS, LEARNT, ENDS, PLACES, FATES = "ids.i32", "learnt.u8", "ends.i64", "places.i64", "fates.u8"
WHOLE, WINDOWED, TOO_LONG = range(3)
"""The fate of a row: all of it is in the store, a window of it, or, as it is too long, nothing."""


@dataclass(frozen=True)
class TokenStore:
    """Sequences of token ids, with a mask of what the loss covers.

    In a store of pairs, 2n is the better answer of pair n and 2n + 1 the worse one.
    """

    ids: Array
    learnt: Array
    """uint8, as long as `ids`: 1 where the token is learnt."""
    ends: Array
    """For each sequence the index in `ids` that follows its last token."""
    places: Array
    """For each sequence the byte offset of its row in the file of rows."""
    fates: Array
    """For each row that was read WHOLE, WINDOWED or TOO_LONG, in the order of the file, as the sequences
    are."""

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def lengths(self) -> Array:
        """Number of tokens of every sequence."""
        return np.diff(self.ends, prepend=0)

    @property
    def learnt_lengths(self) -> Array:
        """Number of learnt tokens of every sequence."""
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
    """Open a store that TokenWriter has written."""

    def mapped(name: str, kind: str) -> Array:
        path = directory / name
        return np.memmap(path, dtype=kind, mode="r") if path.stat().st_size else np.empty(0, kind)

    return TokenStore(
        mapped(IDS, "<i4"),
        mapped(LEARNT, "u1"),
        mapped(ENDS, "<i8"),
        mapped(PLACES, "<i8"),
        mapped(FATES, "u1"),
    )


class TokenWriter:
    """Writes a store into an empty directory, block by block."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.rows = 0
        """Rows read so far."""
        self._end = 0
        self._files: list[BinaryIO] = []

    def __enter__(self) -> Self:
        self._files = [(self.directory / name).open("wb") for name in (IDS, LEARNT, ENDS, PLACES, FATES)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files:
            file.close()

    def add(self, block: "EncodedBlock") -> None:
        """Append the sequences that `pack_block` packed."""
        ids, learnt, lengths, places, fates = block
        ends = np.frombuffer(lengths, "<i8").cumsum() + self._end
        self._end = int(ends[-1]) if len(ends) else self._end
        columns = (ids, learnt, ends.astype("<i8").tobytes(), places, fates)
        for file, data in zip(self._files, columns, strict=True):
            file.write(data)
        self.rows += len(fates)


EncodedBlock = tuple[bytes, bytes, bytes, bytes, bytes]
"""Some sequences on their way from a process that encodes: ids, learnt, lengths, places, fates as bytes."""


def pack_block(examples: Iterable[tuple[Example, int]], fates: Iterable[int]) -> EncodedBlock:
    """Pack sequences with the byte offsets of their rows, and the fate of each row that was read."""
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

    return packed(ids, "<i4"), bytes(learnt), packed(lengths, "<i8"), packed(places, "<i8"), bytes(fates)
