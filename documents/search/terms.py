"""The terms by which Korean text is found: content morphemes, and pairs of neighbouring characters.

Morphemes find a word in all its forms and compounds in both spellings (연차휴가, 연차 휴가); pairs of
characters find what Kiwi does not know, such as names. Particles and endings are in every text and find
nothing.
"""

import re
from collections.abc import Sequence

from common.normal_form import nfc
from documents.korean import Token, kiwi_version, tokens_of

RULE = "morphemes and character pairs 2"
"""Name of the rule by which this file makes terms: another one takes another name."""

_CONTENT = ("N", "V", "MAG", "MM", "XR", "SL", "SN", "SH")
"""Kiwi's tags of nouns, verbs, adverbs, determiners, roots, foreign letters, numbers and Hanja.

https://bab2min.github.io/kiwipiepy/v0.24.0/kr/#_11
"""
_IN_COMPOUNDS = ("NNG", "NNP", "NR", "XPN", "XSN", "XR", "SL")
_WORD = re.compile(r"\w+")


def terms_version() -> str:
    """An index whose terms were made by another one finds the wrong things."""
    return f"{RULE}; kiwi {kiwi_version()}"


def terms_of(texts: Sequence[str]) -> list[list[str]]:
    """The terms of each text, in order and as often as they occur. No term holds white space."""
    normal = [nfc(text) for text in texts]
    return [
        [*_morphemes(tokens), *_pairs(text.lower())]
        for text, tokens in zip(normal, tokens_of(normal), strict=True)
    ]


def with_headings(text: str, headings: Sequence[str]) -> str:
    """What a chunk is found by: its headings, too."""
    return "\n".join([*headings, text])


def morphemes_of(texts: Sequence[str]) -> list[list[str]]:
    """The content morphemes of each text, in order and as often as they occur."""
    normal = [nfc(text) for text in texts]
    return [_morphemes(tokens) for tokens in tokens_of(normal)]


def compounds_of(texts: Sequence[str]) -> list[list[str]]:
    """The nouns of each text that are written together from several (연차휴가, 계약직원), in order."""
    normal = [nfc(text) for text in texts]
    return [_compounds(text, tokens) for text, tokens in zip(normal, tokens_of(normal), strict=True)]


def _compounds(text: str, tokens: Sequence[Token]) -> list[str]:
    runs: list[list[int]] = []
    for token in tokens:
        if not token.tag.startswith(_IN_COMPOUNDS):
            continue
        if runs and runs[-1][1] == token.start:
            runs[-1][1:] = [token.end, runs[-1][2] + 1]
        else:
            runs.append([token.start, token.end, 1])
    return [text[start:end] for start, end, count in runs if count > 1]


def _morphemes(tokens: Sequence[Token]) -> list[str]:
    return ["m" + "".join(token.form.lower().split()) for token in tokens if token.tag.startswith(_CONTENT)]


def _pairs(text: str) -> list[str]:
    """Of the letters and digits of each word; a word of one character is itself."""
    made = []
    for word in _WORD.findall(text):
        made += ["p" + word[at : at + 2] for at in range(max(1, len(word) - 1))]
    return made
