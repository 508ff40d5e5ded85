"""Cut a document into chunks for search and for prompts: whole paragraphs under their headings.

A chunk's text is the text of the document; where it stands is kept as spans, at least one for each page.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import regex

from common.graphemes import cut
from documents.document import BLOCK_GAP, Block, Document, Page

DEFAULT_SIZE = 800
"""In characters: about a third of a page, or 400 to 600 tokens of Korean."""
LONGEST_HEADING = 200
"""Code points of a heading, or of a table's head row, that stand with each chunk below it: repeated so often,
a long one would fill memory and prompts."""
Measure = Callable[[str], int]
"""How long a text is: `len` for characters, or a tokenizer's count."""

_SENTENCE = regex.compile(r".+?(?:[.?!。…][\"'”’)\]」』]*(?=\s|$)|\n|$)\s*", regex.DOTALL)
_WORD = regex.compile(r"\S+\s*")
_GRAPHEME = regex.compile(r"\X")
_MANY = regex.compile(r".{1,1000}", regex.DOTALL)
"""No script writes so much as one character; who does wants to be more than an index or a prompt can hold."""


@dataclass(frozen=True)
class Span:
    """Characters `start` to `end` of the text of a page (None: the document has no pages)."""

    page: int | None
    start: int
    end: int


@dataclass(frozen=True)
class Chunk:
    """A passage that is found and cited as one."""

    text: str
    spans: tuple[Span, ...]
    headings: tuple[str, ...]
    """Those above it, the highest first; for a later part of a table, its head row, too. Of each the first
    `LONGEST_HEADING`."""

    @property
    def pages(self) -> tuple[int, ...]:
        """On which it stands; empty where the document has no pages."""
        return tuple(dict.fromkeys(span.page for span in self.spans if span.page is not None))


@dataclass(frozen=True)
class _BlockPiece:
    """A piece of a block that fits into a chunk, and what joins it to the part before."""

    text: str
    span: Span
    joint: str
    headings: tuple[str, ...]
    begins_section: bool = False


def chunks_of(document: Document, size: int = DEFAULT_SIZE, measure: Measure = len) -> tuple[Chunk, ...]:
    """Chunks of at most `size` by `measure`, in order. Together they hold every block once.

    A new heading begins a new chunk. A paragraph that is too long is cut after sentences, a sentence after
    words, a word between graphemes; a grapheme longer than `size` stays whole up to a thousand code points.
    Raises ValueError for a `size` below 1.
    """
    if size < 1:
        raise ValueError("the size of a chunk is at least 1")
    made: list[Chunk] = []
    held: list[_BlockPiece] = []
    text = ""
    for part in _parts(document, size, measure):
        longer = text + part.joint + part.text if held else part.text
        only_headings = all(held_part.begins_section for held_part in held)
        if held and ((part.begins_section and not only_headings) or measure(longer) > size):
            made.append(_chunk(text, held))
            held, longer = [], part.text
        held.append(part)
        text = longer
    return (*made, _chunk(text, held)) if held else tuple(made)


def _chunk(text: str, parts: list[_BlockPiece]) -> Chunk:
    spans = [parts[0].span]
    for part in parts[1:]:
        last = spans[-1]
        if part.span.page == last.page:
            spans[-1] = Span(last.page, last.start, part.span.end)
        else:
            spans.append(part.span)
    return Chunk(text, tuple(spans), parts[0].headings)


def _parts(document: Document, size: int, measure: Measure) -> Iterator[_BlockPiece]:
    """The blocks of all pages in order, cut where they are too long."""
    headings: list[tuple[int, str]] = []
    for page in document.pages:
        for block in page.blocks:
            if block.kind == "heading":
                headings = [pair for pair in headings if pair[0] < block.level]
            above = tuple(text for _, text in headings)
            if block.kind == "heading":
                headings.append((block.level, cut(page.text[block.start : block.end], LONGEST_HEADING)))
            joint = BLOCK_GAP if block.goes_on is None else block.goes_on
            yield from _cut(page, block, joint, above, size, measure)


def _cut(
    page: Page, block: Block, joint: str, above: tuple[str, ...], size: int, measure: Measure
) -> Iterator[_BlockPiece]:
    whole = page.text[block.start : block.end]
    head_row = cut(whole.split("\n", 1)[0], LONGEST_HEADING) if block.kind == "table" else ""
    at = 0
    for piece in _pieces(whole, size, measure, by_line=block.kind in ("table", "code")):
        text = piece.rstrip()
        if text:
            headings = (*above, head_row) if head_row and at else above
            span = Span(page.number, block.start + at, block.start + at + len(text))
            gap = joint if at == 0 else whole[len(whole[:at].rstrip()) : at]
            yield _BlockPiece(text, span, gap, headings, block.kind == "heading" and at == 0)
        at += len(piece)


def _pieces(text: str, size: int, measure: Measure, by_line: bool) -> list[str]:
    """`text` in parts of at most `size`, which joined are the text again."""
    if measure(text) <= size:
        return [text]
    pieces = text.splitlines(keepends=True) if by_line else _SENTENCE.findall(text)
    for finer in (_WORD, _GRAPHEME, _MANY):
        pieces = [
            small
            for piece in pieces
            for small in (_split(finer, piece) if measure(piece) > size else [piece])
        ]
    return _packed(pieces, size, measure)


def _split(pattern: "regex.Pattern[str]", text: str) -> list[str]:
    """All of `text`: space before the first match stays with it."""
    found: list[str] = pattern.findall(text)
    lead = text[: len(text) - sum(map(len, found))]
    return [lead + found[0], *found[1:]] if found else [text]


def _packed(pieces: list[str], size: int, measure: Measure) -> list[str]:
    """Neighbouring pieces joined as long as they fit into `size`."""
    packed: list[str] = []
    for piece in pieces:
        if packed and measure((packed[-1] + piece).rstrip()) <= size:
            packed[-1] += piece
        else:
            packed.append(piece)
    return packed
