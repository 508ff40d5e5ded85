"""The one Kiwi of this process, or of its child: Korean morphemes, and whether a line's end is a word's end.

It takes seconds to load and half a gigabyte, so whoever needs it asks for it here, at the first use.
"""

import functools
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

from documents.document import Joint

_loading = threading.Lock()
CONTEXT_WORDS = 2
"""Words on each side of a line's end that decide it: more take longer and decide no better."""
GLUE_MARGIN = 1.5
"""How much more likely (natural logarithm) a text must be without a space to be joined without one."""
CUTOFF = 3.0
"""How much less likely than the best (natural logarithm) a reading of the text so far may be that Kiwi still
follows. Its own 8 takes 1.4 times as long for morphemes of which nearly all are the same."""
_HANGUL_END = re.compile(r"[가-힣]$")
_HANGUL_BEGIN = re.compile(r"^[가-힣]")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_OPENING = re.compile(r"[(\[{「『《〈“‘]$")
_CLOSING = re.compile(r"^[)\]}」』》〉”’.,!?:;·…]")
_HYPHENATED = re.compile(r"[a-z]-$")


@functools.cache
def _load() -> Any:
    from kiwipiepy import Kiwi

    return Kiwi(num_workers=1)


def kiwi() -> Any:
    """The shared analyser, loaded by the first who asks."""
    with _loading:
        return _load()


class Token(NamedTuple):
    """A morpheme and where it stands in its text."""

    form: str
    tag: str
    """Kiwi's."""
    start: int
    end: int


class Analyst(Protocol):
    """Another process that has a Kiwi."""

    def tokens(self, texts: Sequence[str]) -> list[list[Token]]: ...
    def scores(self, texts: Sequence[str]) -> list[float]: ...


_analysts: list[Analyst] = []
"""The last one is asked; while there is none, this process loads a Kiwi of its own."""


@contextmanager
def asking(analyst: Analyst) -> Iterator[None]:
    """While the block runs, this process has `analyst` do what takes Kiwi, and loads none."""
    _analysts.append(analyst)
    try:
        yield
    finally:
        _analysts.remove(analyst)


def tokens_of(texts: Sequence[str]) -> list[list[Token]]:
    """The morphemes of each text, in order."""
    return _analysts[-1].tokens(texts) if _analysts else local_tokens(texts)


def scores_of(texts: Sequence[str]) -> list[float]:
    """How likely each text is (natural logarithm)."""
    return _analysts[-1].scores(texts) if _analysts else local_scores(texts)


def local_tokens(texts: Sequence[str]) -> list[list[Token]]:
    """`tokens_of` by the Kiwi of this process."""
    shared = kiwi()
    quick = replace(shared.global_config, cutoff_threshold=CUTOFF)
    return [
        [Token(token.form, token.tag, token.start, token.end) for token in tokens]
        for tokens in shared.tokenize(list(texts), override_config=quick)
    ]


def local_scores(texts: Sequence[str]) -> list[float]:
    """`scores_of` by the Kiwi of this process."""
    return [found[0][1] for found in kiwi().analyze(list(texts), top_n=1)]


def joints(lines: Sequence[str]) -> list[Joint]:
    """What stands between each of these stripped lines of one paragraph and the next."""
    pairs = list(pairwise(lines))
    made: list[Joint] = [_by_signs(before, after) for before, after in pairs]
    asked = [at for at, (before, after) in enumerate(pairs) if _is_for_kiwi(before, after)]
    if asked:
        for at, joint in zip(asked, _by_kiwi([pairs[at] for at in asked]), strict=True):
            made[at] = joint
    return made


def _is_for_kiwi(before: str, after: str) -> bool:
    """Korean on one side, and a letter or digit on the other."""
    if not before[-1:].isalnum() or not after[:1].isalnum():
        return False
    return bool(_HANGUL_END.search(before) or _HANGUL_BEGIN.search(after))


def _by_signs(before: str, after: str) -> Joint:
    if not before or not after or _OPENING.search(before) or _CLOSING.match(after):
        return ""
    if _HYPHENATED.search(before) and after[0].islower():
        return ""
    return "" if _CJK.match(before[-1]) and _CJK.match(after[0]) else " "


def _by_kiwi(pairs: Sequence[tuple[str, str]]) -> list[Joint]:
    """Kiwi's `glue`, with less context and a preference for the space: more often right, and four times as
    fast."""
    texts: list[str] = []
    for before, after in pairs:
        end, begin = " ".join(before.split()[-CONTEXT_WORDS:]), " ".join(after.split()[:CONTEXT_WORDS])
        texts += [end + begin, f"{end} {begin}"]
    scores = scores_of(texts)
    return [
        "" if glued - spaced > GLUE_MARGIN else " "
        for glued, spaced in zip(scores[::2], scores[1::2], strict=True)
    ]
