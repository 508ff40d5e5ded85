"""Where the streams of a compound file stand in its bytes ([MS-CFB]); HWP 5 is one."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

_SHIFTS = struct.Struct("<30x2H")
"""Sizes of a sector and of a mini sector, as powers of two."""
_STARTS = struct.Struct("<48xI4xII4xI")
"""First sector of the directory, smallest size of a stream in whole sectors, first sectors of the mini FAT
and the DIFAT."""
_IN_HEADER = 109
_NUMBER = struct.Struct("<I")
_REGULAR = 0xFFFFFFFA
"""Sector numbers are below; above are signs, such as for the end of a chain."""
_ENTRY = struct.Struct("<64sHB49xIQ")
"""Name, bytes of the name, kind, first sector, size."""
_STREAM, _ROOT = 2, 5


class BrokenCompoundFile(Exception):
    """It breaks the rules of the format."""


@dataclass(frozen=True)
class Stream:
    """A stream as pieces of the file, in order."""

    name: str
    pieces: tuple[slice, ...]

    def read(self, content: bytes) -> bytes:
        """What the file holds there."""
        return b"".join(content[piece] for piece in self.pieces)

    def write(self, content: bytearray, new: bytes) -> None:
        """Put `new`, which is as long as the stream, into the file."""
        done = 0
        for piece in self.pieces:
            length = piece.stop - piece.start
            content[piece] = new[done : done + length]
            done += length


def streams(content: bytes) -> list[Stream]:
    """All streams, by their own names. Raises BrokenCompoundFile."""
    try:
        return _File(content).streams()
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise BrokenCompoundFile(str(error)) from error


class _File:
    def __init__(self, content: bytes) -> None:
        shift, mini_shift = _SHIFTS.unpack_from(content)
        if not 7 <= shift <= 16 or not 4 <= mini_shift <= shift:
            raise BrokenCompoundFile("no size of a sector")
        self._content, self._size, self._mini_size = content, 1 << shift, 1 << mini_shift
        directory, self._least, mini_fat, difat = _STARTS.unpack_from(content)
        self._fat = self._numbers(self._fat_sectors(difat))
        self._mini_fat = self._numbers(self._chain(mini_fat, self._fat))
        self._entries = b"".join(map(self._sector, self._chain(directory, self._fat)))

    def streams(self) -> list[Stream]:
        entries = list(_ENTRY.iter_unpack(self._entries[: len(self._entries) // 128 * 128]))
        root = next((entry for entry in entries if entry[2] == _ROOT), None)
        inner = self._places(root[3], root[4], self._fat, self._size) if root else []
        made = []
        for raw, length, kind, first, size in entries:
            if kind == _STREAM:
                name = raw[: max(0, min(length, 64) - 2)].decode("utf-16-le")
                made.append(Stream(name, tuple(self._pieces(first, size & 0xFFFFFFFF, inner))))
        return made

    def _pieces(self, first: int, size: int, inner: Sequence[slice]) -> list[slice]:
        """A small stream lies in mini sectors within the stream of the root entry."""
        if size >= self._least:
            return self._places(first, size, self._fat, self._size)
        a_sector = self._size // self._mini_size
        pieces = []
        for place in self._places(first, size, self._mini_fat, self._mini_size, base=0):
            number, at = divmod(place.start // self._mini_size, a_sector)
            start = inner[number].start + at * self._mini_size
            pieces.append(slice(start, start + place.stop - place.start))
        return pieces

    def _places(
        self, first: int, size: int, table: Sequence[int], each: int, base: int | None = None
    ) -> list[slice]:
        """Of the sectors of a chain, of `each` bytes; sector 0 begins at `base` (behind the header)."""
        begin = each if base is None else base
        places = []
        for number in self._chain(first, table):
            if size <= 0:
                break
            start = begin + number * each
            places.append(slice(start, start + min(size, each)))
            size -= each
        if size > 0:
            raise BrokenCompoundFile("a stream ends early")
        return places

    def _chain(self, first: int, table: Sequence[int]) -> list[int]:
        chain: list[int] = []
        while first < _REGULAR:
            chain.append(first)
            if len(chain) > len(table):
                raise BrokenCompoundFile("a chain without an end")
            first = table[first]
        return chain

    def _fat_sectors(self, difat: int) -> list[int]:
        found = [number for (number,) in _NUMBER.iter_unpack(self._content[76 : 76 + 4 * _IN_HEADER])]
        seen = set()
        while difat < _REGULAR and difat not in seen:
            seen.add(difat)
            *more, difat = (number for (number,) in _NUMBER.iter_unpack(self._sector(difat)))
            found += more
        return [number for number in found if number < _REGULAR]

    def _numbers(self, sectors: Sequence[int]) -> list[int]:
        return [n for sector in sectors for (n,) in _NUMBER.iter_unpack(self._sector(sector))]

    def _sector(self, number: int) -> bytes:
        start = (number + 1) * self._size
        found = self._content[start : start + self._size]
        if len(found) < self._size:
            raise BrokenCompoundFile("a sector beyond the end")
        return found
