"""The terms by which Korean text is found: content morphemes, and pairs of neighbouring characters.

Morphemes find a word in all its forms and compounds in both spellings (연차휴가, 연차 휴가); pairs of
characters find what the dictionary does not know, such as names. Particles and endings are in every text and
find nothing.
"""

import re
from collections.abc import Sequence

from documents.letter_forms import plain_letters
from documents.search.mecab import content_morphemes, mecab_version

RULE = "morphemes and character pairs 4"
"""Name of the rule by which this file and `mecab` make terms: another one takes another name."""

_WORD = re.compile(r"\w+")


def terms_version() -> str:
    """An index whose terms were made by another one finds the wrong things."""
    return f"{RULE}; mecab {mecab_version()}"


def terms_of(texts: Sequence[str]) -> list[list[str]]:
    """The terms of each text, in order and as often as they occur. No term holds white space."""
    return [_terms(plain_letters(text)) for text in texts]


def with_headings(text: str, headings: Sequence[str]) -> str:
    """What a chunk is found by: its headings, too."""
    return "\n".join([*headings, text])


def _terms(text: str) -> list[str]:
    return ["m" + one for one in content_morphemes(text)] + pairs_of(text.lower())


def pairs_of(text: str) -> list[str]:
    """Of the letters and digits of each word of a text in lower case; a word of one character is itself."""
    return ["p" + word[at : at + 2] for word in _WORD.findall(text) for at in range(max(1, len(word) - 1))]
