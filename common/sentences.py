"""Where a sentence of running text ends: what is judged by sentence is cut here, at once or as it comes."""

import re

LONGEST = 300
"""Characters after which a sentence is cut at a blank, or anywhere where there is none."""
_END = re.compile(r"[.!?…。！？][\"'”’」』)\]]*(?=\s)|\n")


def split_sentences(text: str) -> list[str]:
    """The sentences of `text` without the blanks around them; together they hold all other characters."""
    done, rest = cut_sentences(text)
    return [*(s for piece in done if (s := piece.strip())), *([last] if (last := rest.strip()) else [])]


def cut_sentences(text: str) -> tuple[list[str], str]:
    """The sentences that are complete in `text`, and the rest of which the end is still to come.

    Together they are `text`, character by character. A sentence has ended when a blank follows its mark, so
    "3." is none before the next character is known.
    """
    done: list[str] = []
    start = 0
    for found in _END.finditer(text):
        done += _no_longer_than_allowed(text[start : found.end()])
        start = found.end()
    *long, rest = _no_longer_than_allowed(text[start:]) or [""]
    return done + long, rest


def _no_longer_than_allowed(text: str) -> list[str]:
    """`text` in pieces of at most LONGEST characters."""
    pieces = []
    while len(text) > LONGEST:
        cut = text.rfind(" ", 1, LONGEST) + 1 or LONGEST
        pieces.append(text[:cut])
        text = text[cut:]
    return [*pieces, text] if text else pieces
