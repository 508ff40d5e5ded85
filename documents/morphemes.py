"""What a sentence says: its content morphemes and compounds, by Kiwi. By them passages are held against it.

Particles and endings are in every text and say nothing.
"""

from collections.abc import Sequence

from documents.korean import Token, tokens_of
from documents.letter_forms import plain_letters

_CONTENT = ("N", "V", "MAG", "MM", "XR", "SL", "SN", "SH")
"""Kiwi's tags of nouns, verbs, adverbs, determiners, roots, foreign letters, numbers and Hanja.

https://bab2min.github.io/kiwipiepy/v0.24.0/kr/#_11
"""
_IN_COMPOUNDS = ("NNG", "NNP", "NR", "XPN", "XSN", "XR", "SL")


def morphemes_of(texts: Sequence[str]) -> list[list[str]]:
    """The content morphemes of each text, in order and as often as they occur."""
    normal = [plain_letters(text) for text in texts]
    return [
        ["".join(token.form.lower().split()) for token in tokens if token.tag.startswith(_CONTENT)]
        for tokens in tokens_of(normal)
    ]


def compounds_of(texts: Sequence[str]) -> list[list[str]]:
    """The nouns of each text that are written together from several (연차휴가, 계약직원), in order."""
    normal = [plain_letters(text) for text in texts]
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
