"""Texts as arrays of letter codes, and hashes of all their stretches of N letters at once.

Letters and digits alone count, in small letters: texts that differ in blanks, punctuation or case are the
same.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint32]
Hashes = npt.NDArray[np.uint64]
Offsets = npt.NDArray[np.int64]

_FACTOR = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def letter_codes(texts: Sequence[str]) -> tuple[Codes, Offsets]:
    """(the letters of all texts in a row, where each text begins among them; one more offset for the end)."""
    flat = np.frombuffer("".join(texts).encode("utf-32-le"), dtype=np.uint32)
    table = _table()
    codes = table[np.minimum(flat, len(table) - 1)]
    rare = flat >= len(table)
    if rare.any():
        codes = np.where(rare, flat, codes)
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    ends = np.cumsum(lengths)
    kept = codes != 0
    before = np.concatenate(([0], np.cumsum(kept, dtype=np.int64)))
    return codes[kept], before[np.concatenate(([0], ends))]


def window_hashes(codes: Codes, sizes: Sequence[int]) -> list[Hashes]:
    """For each size, the hashes of all stretches of that many letters, by where they begin.

    A polynomial hash: that of a + b letters is made of one of a and one of b, so long ones cost few steps.
    """
    base = codes.astype(np.uint64)
    base *= np.uint64(0xBF58476D1CE4E5B9)
    base ^= base >> np.uint64(31)
    made: dict[int, Hashes] = {1: base}
    return [_windows(made, size) for size in sizes]


def _windows(made: dict[int, Hashes], size: int) -> Hashes:
    if size not in made:
        left = 1 << ((size - 1).bit_length() - 1)
        right = size - left
        first, second = _windows(made, left), _windows(made, right)
        length = max(0, len(made[1]) - size + 1)
        hashes = first[:length] * np.uint64(pow(_FACTOR, right, 1 << 64))
        hashes += second[left : left + length]
        made[size] = hashes
    return made[size]


def within_texts(offsets: Offsets, size: int, total: int) -> tuple[npt.NDArray[np.bool_], Offsets]:
    """(which stretches of `size` letters lie within one text, where each text's begin among those)."""
    inside = np.ones(max(0, total - size + 1), dtype=np.bool_)
    for back in range(1, size):
        places = offsets[1:] - back
        inside[places[(places >= 0) & (places < len(inside))]] = False
    counts = np.maximum(np.diff(offsets) - (size - 1), 0)
    return inside, np.concatenate(([0], np.cumsum(counts)))


@lru_cache(maxsize=1)
def _table() -> Codes:
    """Code point -> the small letter's, 0 for what is no letter or digit; the basic plane."""
    table = np.zeros(0x10000, dtype=np.uint32)
    for code in range(0x10000):
        sign = chr(code)
        if sign.isalnum():
            small = sign.lower()
            table[code] = ord(small) if len(small) == 1 else code
    return table
