"""Text in the units that readers see: a syllable of three jamo, an emoji of several code points (UAX #29)."""

import regex

_GRAPHEME = regex.compile(r"\X")


def cut(words: str, most: int) -> str:
    """The beginning of `words`, at most `most` code points long, that ends where a grapheme does. A first
    grapheme that is longer than that is cut itself: something has to be left."""
    if len(words) <= most:
        return words
    end = 0
    for grapheme in _GRAPHEME.finditer(words):
        if grapheme.end() > most:
            break
        end = grapheme.end()
    return words[: end or most]
