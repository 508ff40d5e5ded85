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
_OPENING = re.compile(r"`+|~{3,}")
_TICKS = re.compile(r"`+")
MOST_MARKS = 10_000
"""Backticks, fences of tildes, beginnings of tags and of pictures in all that is drawn at once: each costs
time here and in the browser."""
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_IMAGE = re.compile(r"!\[")
_BLANK_LINE = re.compile(r"\n[ \t]*(?=\n)")
_DIAGRAM = re.compile(r"\A(?P<fence> {0,3}(?:`{3,}|~{3,})[ \t]*)mermaid", re.IGNORECASE)
"""The page would draw it, with the pictures that its labels name."""


def marks_in(text: str) -> int:
    """How many there are of what makes Markdown slow to read."""
    return sum(map(text.count, ("`", "~~~", "<", "![")))


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
    blank = -1
    """The first blank line behind `at`, looked for when it is needed."""
    parts: list[str] = []
    end = at = 0
    while (opening := _OPENING.search(text, at)) is not None:
        start, at = opening.span()
        indent = _indent(text, start)
        if indent is not None and at - start >= 3 and (block := _FENCE.match(text, start - indent)):
            start, at = block.span()
        elif text[start] == "`" and (close := _next(runs[at - start], at)) is not None:
            if blank < at:
                line = _BLANK_LINE.search(text, at)
                blank = line.start() if line is not None else len(text)
            if close >= blank:
                continue
            at = close + at - start  # code in a paragraph ends with as many ticks as it begins with
        else:
            continue
        parts += [_plain(text[end:start]), _DIAGRAM.sub(r"\g<fence>text", text[start:at])]
        end = at
    return "".join([*parts, _plain(text[end:])])


def _indent(text: str, at: int) -> int | None:
    """How many blanks stand before this place in its line; None for anything else, or more than a fence may
    have."""
    before = text[max(0, at - 4) : at]
    blanks = len(before) - len(before.rstrip(" "))
    begins = blanks == at or before[-blanks - 1 : len(before) - blanks] == "\n"
    return blanks if begins and blanks <= 3 else None


def _next(places: list[int], at: int) -> int | None:
    """The first of the sorted `places` that is not before `at`."""
    index = bisect_left(places, at)
    return places[index] if index < len(places) else None


def _plain(text: str) -> str:
    return _IMAGE.sub(_as_text, _TAG.sub("&lt;", text))


def _as_text(image: "re.Match[str]") -> str:
    """With an odd number of backslashes before it, the mark is text already; one more would undo that."""
    text, at = image.string, image.start()
    while at and text[at - 1] == "\\":
        at -= 1
    return image[0] if (image.start() - at) % 2 else f"\\{image[0]}"
