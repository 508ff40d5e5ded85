"""Near-duplicate rows: MinHash signatures, bands that bring likely pairs together, the true similarity of
each.

Two rows are near-duplicates when the Jaccard similarity of their 5-letter shingles reaches a threshold, for
the row as a whole (history, question, context, answer) and for question and answer by themselves: questions
about one long paragraph share nearly all their text and are still different rows. So are questions in
which one
word stands in place of another (남자친구, 여자친구): `asks_something_else`.

A signature has 64 slots; 12 bands of 5 find a pair of similarity 0.8 with a probability of 0.99
(1 - (1 - s^5)^12), one of 0.9 with 0.9999. What the bands bring together is then compared letter by letter:
no row is dropped on an estimate.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from finetune.data.clean.letters import Hashes, letter_codes, window_hashes, within_texts
from finetune.rows.fast_row import JsonRow

SHINGLE = 5
SLOTS = 64
BANDS = 12
BAND_SLOTS = 5
SEED = 20231
PARTNERS = 4
"""In one band a row is paired with at most so many of the first rows and as many of the last before it:
enough to find a partner in any group, and a bound on the work where thousands of rows are alike."""
ESTIMATE_MARGIN = 0.18
"""Three standard deviations of a 64-slot estimate at 0.8: pairs estimated lower are not compared."""
_LONGEST_QUESTION = 400
"""Characters beyond which questions are not compared word by word."""
_SHORT_QUESTION = 8
"""Words of a question in which each says something."""
_OPPOSITES = (
    *(
        ("남자", "여자"),
        ("남친", "여친"),
        ("남사친", "여사친"),
        ("썸남", "썸녀"),
        ("짝남", "짝녀"),
        ("그는", "그녀는"),
    ),
    *(
        ("그가", "그녀가"),
        ("그의", "그녀의"),
        ("그를", "그녀를"),
        ("남편", "아내"),
        ("아들", "딸"),
        ("아버지", "어머니"),
    ),
    *(
        ("아빠", "엄마"),
        ("형", "누나"),
        ("오빠", "언니"),
        ("남성", "여성"),
        ("남동생", "여동생"),
        ("할아버지", "할머니"),
    ),
    *(
        ("증가", "감소"),
        ("장점", "단점"),
        ("찬성", "반대"),
        ("긍정", "부정"),
        ("최대", "최소"),
        ("최고", "최저"),
    ),
    *(
        ("수입", "수출"),
        ("오전", "오후"),
        ("입력", "출력"),
        ("능동", "수동"),
        ("동의어", "반의어"),
        ("영어", "한국어"),
    ),
)
"""Words of which one in place of the other makes another question, however long it is."""
_BLOCK = 400
"""Rows hashed at once: their arrays stay in the processor's cache."""

Signatures = npt.NDArray[np.uint32]
"""Shape (rows, SLOTS)."""
RowPairs = npt.NDArray[np.int64]
"""Shape (pairs, 2): two row numbers, the smaller first."""


def whole_text(row: JsonRow) -> str:
    return "\n".join(row.texts())


def signatures(texts: Sequence[str]) -> Signatures:
    """MinHash signatures. A text without a shingle (fewer than five letters) has all slots 0."""
    import rensa  # type: ignore[import-untyped]

    blocks = []
    for first in range(0, len(texts), _BLOCK):
        shingles, offsets = _shingles(texts[first : first + _BLOCK])
        matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
            shingles, offsets.astype(np.uint64), SLOTS, SEED
        )
        block = np.array(matrix.to_rows(), dtype=np.uint32).reshape(-1, SLOTS)
        block[np.diff(offsets) == 0] = 0
        blocks.append(block)
    return np.concatenate(blocks) if blocks else np.zeros((0, SLOTS), dtype=np.uint32)


def band_keys(signatures: Signatures) -> Hashes:
    """Shape (BANDS, rows): equal keys in one band make a pair worth a look. 0 for rows without shingles."""
    keys = np.zeros((BANDS, len(signatures)), dtype=np.uint64)
    signed = signatures.any(axis=1)
    for band in range(BANDS):
        for slot in range(band * BAND_SLOTS, (band + 1) * BAND_SLOTS):
            keys[band] = (keys[band] ^ signatures[:, slot]) * np.uint64(0x9E3779B97F4A7C15)
            keys[band] ^= keys[band] >> np.uint64(29)
    keys[:, ~signed] = 0
    return keys


def pairs_of_band(keys: Hashes) -> RowPairs:
    """Pairs of rows with the same key other than 0."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    new = np.concatenate(([True], ordered[1:] != ordered[:-1])) if len(keys) else np.zeros(0, dtype=np.bool_)
    start = np.maximum.accumulate(np.where(new, np.arange(len(keys)), 0))
    place = np.arange(len(keys)) - start
    usable = ordered != 0
    found = []
    for back in range(1, PARTNERS + 1):
        late = np.flatnonzero(usable & (place >= back))
        found.append(np.stack((order[late - back], order[late]), axis=1))
    for forward in range(PARTNERS):
        late = np.flatnonzero(usable & (place > forward + PARTNERS))
        found.append(np.stack((order[start[late] + forward], order[late]), axis=1))
    return np.concatenate(found)


def may_be_similar(left: Signatures, right: Signatures, threshold: float) -> npt.NDArray[np.bool_]:
    """Which pairs may reach the threshold, by the signatures of their rows."""
    same = (left == right).mean(axis=1)
    return np.asarray(same >= threshold - ESTIMATE_MARGIN)


def similar_pairs(
    rows: Sequence[JsonRow], pairs: Sequence[tuple[int, int]], threshold: float
) -> list[tuple[int, int, float]]:
    """Those of `pairs` (places in `rows`) that are near-duplicates, with the lower of both similarities."""
    whole = _sets([whole_text(row) for row in rows])
    asked = _sets([f"{row.instruction}\n{row.response}" for row in rows])
    found = []
    for left, right in pairs:
        similarity = min(_jaccard(whole[left], whole[right]), _jaccard(asked[left], asked[right]))
        if similarity >= threshold and not asks_something_else(rows[left], rows[right]):
            found.append((left, right, similarity))
    return found


def asks_something_else(left: JsonRow, right: JsonRow) -> bool:
    """Whether two questions (with their contexts) that look alike differ in a word that makes another
    question of them:
    the opposite word, or in a short question any other word. Words that one of them has more say the same
    more
    fully."""
    for a, b in ((left.instruction, right.instruction), (left.context, right.context)):
        if a == b or len(a) > _LONGEST_QUESTION:
            continue
        first, second = _words(a), _words(b)
        short = max(len(first), len(second)) <= _SHORT_QUESTION
        for kind, a0, a1, b0, b1 in SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
            if kind != "replace":
                continue
            old, new = "".join(first[a0:a1]), "".join(second[b0:b1])
            if _are_opposite(old, new) or (short and not _is_one_within(old, new)):
                return True
    return False


def _words(text: str) -> list[str]:
    return ["".join(filter(str.isalnum, word)) for word in text.split()]


def _are_opposite(old: str, new: str) -> bool:
    return any(
        (one in old and other in new and one not in new) or (other in old and one in new and one not in old)
        for one, other in _OPPOSITES
    )


def _is_one_within(old: str, new: str) -> bool:
    """`치킨` in `간장치킨`, `한 거` and `한거`, `사귀면` and `사귀면은`; but not two words that only begin
    alike."""
    return old in new or new in old


def _shingles(texts: Sequence[str]) -> tuple[Hashes, npt.NDArray[np.int64]]:
    codes, offsets = letter_codes(texts)
    (hashes,) = window_hashes(codes, [SHINGLE])
    inside, starts = within_texts(offsets, SHINGLE, len(codes))
    kept = hashes[inside]
    # The polynomial's low bits are weak; MinHash wants hashes that look random.
    kept ^= kept >> np.uint64(32)
    kept *= np.uint64(0xD6E8FEB86659FD93)
    kept ^= kept >> np.uint64(32)
    return kept, starts


def _sets(texts: Sequence[str]) -> list[Hashes]:
    """Each text's shingles; of a text too short for one, its letters."""
    hashes, offsets = _shingles(texts)
    sets = [np.unique(hashes[a:b]) for a, b in pairwise(offsets.tolist())]
    return [
        found if len(found) else np.unique(letter_codes([text])[0]).astype(np.uint64)
        for text, found in zip(texts, sets, strict=True)
    ]


def _jaccard(left: Hashes, right: Hashes) -> float:
    both = len(np.intersect1d(left, right, assume_unique=True))
    total = len(left) + len(right) - both
    return both / total if total else 1.0
