"""Text as hashed character n-grams, called runs, of 1 to 4 characters: all that a moderation model sees."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.normal_form import nfkc

BITS = 18
"""Runs are hashed into 2^18 columns: with 7 classes in float32 a model takes 7.3 MB."""
LONGEST_RUN = 4
FEW_RUNS = 30
"""Number of runs in a sentence of about nine characters; shorter sentences weigh less (`run_values`)."""
VERSION = 1
"""Version of the rules below; raise it when they change, so that no model reads text in another way than it
was trained to."""

_MASK, _BORDER = "\x01", "\x00"
"""Characters in place of something masked, and between two sentences; no run crosses either."""
_NAMED = (
    r"#@[^#\n]{1,80}#"  # AI Hub's placeholders for people, places, firms
    r"|\[\[[^\[\]\n]{1,40}\]\]|https?://\S+|www\.\S+"
)
_ADDRESS = r"[\w.+-]++@[\w-]++\.[\w.]+"
_HIDDEN = re.compile(rf"(?:{_NAMED}|(?<![\w.+-]){_ADDRESS}|@\w+)(?:{_NAMED}|{_ADDRESS}|@\w+)*+")
"""An address is looked for where one may begin, and at once behind what is hidden: not at each letter of a
long word, which would take the square of its length."""
_REPEATED = re.compile(r"(.)\1{2,}")
_DIGITS = re.compile(r"\d+")
_FACTORS = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5], np.uint64
)
_MIX = np.uint64(0xFF51AFD7ED558CCD)


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of several sentences as a sparse matrix of ones: an entry's sentence and column, sorted by
    sentence."""

    sentence: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    sentences: int

    def weights(self) -> npt.NDArray[np.float32]:
        """The value of each entry."""
        counts = np.bincount(self.sentence, minlength=self.sentences)
        return run_values(counts)[self.sentence]


def run_values(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """The value of every run in sentences with `counts` runs: 1 / sqrt(count), so that a sentence has the
    norm 1; sentences with fewer than FEW_RUNS have less.

    A word or two tells little, so that their score stays near the usual one.
    """
    return np.asarray(1.0 / np.sqrt(np.maximum(counts, FEW_RUNS)), dtype=np.float32)


def normalised(text: str) -> str:
    """The text in NFKC and lower case, without invisible characters, with names, links and numbers masked.

    Placeholders of the training data, links and addresses become one mark that no run includes, so that no
    class can be recognised by them.
    """
    text = nfkc(text.replace(_MASK, "").replace(_BORDER, "")).casefold()
    text = _HIDDEN.sub(_MASK, text)
    text = "".join(c for c in text if c == _MASK or c.isspace() or c.isprintable())
    return _DIGITS.sub("0", _REPEATED.sub(r"\1\1", " ".join(text.split())))


def runs_of(sentences: Sequence[str]) -> Runs:
    """The distinct runs of each sentence, with a blank before its first and after its last character."""
    text = _BORDER.join(f" {normalised(sentence)} " for sentence in sentences)
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.uint64)
    number = np.cumsum(codes == 0)
    readable = codes > 1
    places = []
    for length in range(1, LONGEST_RUN + 1):
        count = len(codes) - length + 1
        if count < 1:
            break
        whole, mixed = readable[:count].copy(), np.full(count, length, np.uint64)
        for offset in range(length):
            whole &= readable[offset : offset + count]
            mixed += codes[offset : offset + count] * _FACTORS[offset]
        mixed = (mixed ^ (mixed >> np.uint64(29))) * _MIX
        column = (mixed >> np.uint64(64 - BITS)).astype(np.int64)
        places.append((number[:count][whole] << BITS) | column[whole])
    found = np.unique(np.concatenate(places)) if places else np.zeros(0, np.int64)
    return Runs(found >> BITS, found & ((1 << BITS) - 1), len(sentences))
