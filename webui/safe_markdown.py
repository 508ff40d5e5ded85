"""Make a model's Markdown harmless to draw: no HTML, and images become links that nobody follows by itself.

The page's Content-Security-Policy is what keeps the browser from fetching anything foreign; this only
makes sure that the reader sees what the model wrote instead of a broken picture or a swallowed tag.
"""

import re
from bisect import bisect_left
from collections import defaultdict
from functools import lru_cache

_FENCE = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,}).*?(?:^ {0,3}(?P=fence)[`~]*[ \t]*$|\Z)", re.DOTALL | re.MULTILINE
)
"""A block of code, maybe still open."""
_OPENING = re.compile(r"^ {0,3}(?:`{3,}|~{3,})|`+", re.MULTILINE)
_TICKS = re.compile(r"`+")
MOST_MARKS = 10_000
"""Backticks and fences of tildes in all that is drawn at once: each costs time here and in the browser."""
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_IMAGE = re.compile(r"(?<!\\)(?P<pairs>(?:\\\\)*)!\[")
"""With an odd number of backslashes before it, the mark is text already; one more would undo that."""
_BLANK_LINE = re.compile(r"\n[ \t]*(?=\n)")
_DIAGRAM = re.compile(r"\A(?P<fence> {0,3}(?:`{3,}|~{3,})[ \t]*)mermaid", re.IGNORECASE)
"""The page would draw it, with the pictures that its labels name."""


def marks_in(text: str) -> int:
    """How many there are of what makes Markdown slow to read."""
    return text.count("`") + text.count("~~~")


def as_code(text: str) -> str:
    """`text` as it is, in a block of code: for what has too many marks to be read."""
    fence = "````"
    while fence in text:
        fence *= 2
    return f"{fence}\n{text}\n{fence}"


@lru_cache(maxsize=256)
def safe_markdown(text: str) -> str:
    """`text` with everything outside of code freed from tags and images. Takes time linear in its length, and
    is remembered: a page draws all turns again while an answer grows."""
    runs: dict[int, list[int]] = defaultdict(list)
    for run in _TICKS.finditer(text):
        runs[run.end() - run.start()].append(run.start())
    blank = [line.start() for line in _BLANK_LINE.finditer(text)]
    parts: list[str] = []
    end = at = 0
    while (opening := _OPENING.search(text, at)) is not None:
        start, at = opening.span()
        block = _FENCE.match(text, start)
        if block is not None:
            at = block.end()
        elif (close := _next(runs[at - start], at)) is not None and close < (_next(blank, at) or len(text)):
            at = close + at - start  # code in a paragraph ends with as many ticks as it begins with
        else:
            continue
        parts += [_plain(text[end:start]), _DIAGRAM.sub(r"\g<fence>text", text[start:at])]
        end = at
    return "".join([*parts, _plain(text[end:])])


def _next(places: list[int], at: int) -> int | None:
    """The first of the sorted `places` that is not before `at`."""
    index = bisect_left(places, at)
    return places[index] if index < len(places) else None


def _plain(text: str) -> str:
    return _IMAGE.sub(r"\g<pairs>\![", _TAG.sub("&lt;", text))
