"""From the lines of a flow to headings and paragraphs."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from documents.document import BlockKind
from documents.read.pdf_layout import Flow, Item
from documents.read.raw import RawBlock, RawLine

HEADING_RATIO = 1.1
"""How many times larger than the text a heading is at least."""
LONGEST_HEADING = 120
_CHAPTER = re.compile(r"제\s?\d+\s?(?:편|부|장|절|관)(?![가-힣])")
_BEGINS = re.compile(r"제\s?\d+\s?조(?:의\s?\d+)?\s?\(|[①-⑳㉠-㉻]|[•·▪■□○●◦◆◇▶※-]\s")
"""Begins an article or an item wherever it stands at a line's start."""
_MAY_BEGIN = re.compile(r"제\s?\d+\s?조|\d{1,2}[.)]\s|[가-하][.)]\s|\(\d{1,2}\)|\([가-하]\)")
"""Also stands within sentences (`제3조에 따라`, `2026. 11. 28.`), or ends one: `한` + `다. 다만`."""
_ENDS_SENTENCES = re.compile(r"[다라자까요]\.\s")
_SENTENCE_END = re.compile(r"(?<!\d)[.?!。:;][\"'”’)\]]*$")


@dataclass(frozen=True)
class Sizes:
    """Heights of the document's letters: that of the text, and those of its headings, largest first."""

    body: float
    headings: tuple[float, ...]

    def level(self, item: Item) -> int:
        """1 to 6 for the lines of a heading, else 0."""
        if item.is_table or len(item.text) > LONGEST_HEADING:
            return 0
        size = _rounded(item.size)
        if size >= HEADING_RATIO * self.body and size in self.headings:
            return min(self.headings.index(size) + 1, 6)
        if _CHAPTER.match(item.text.strip()) and len(item.text) <= 40:
            return min(len(self.headings) + 1, 6)
        return 0


def sizes_of(items: Iterable[Item]) -> Sizes:
    """The text has the size of most characters."""
    counts: Counter[float] = Counter()
    for item in items:
        if not item.is_table:
            counts[_rounded(item.size)] += len(item.text)
    body = max(counts, key=lambda size: (counts[size], size), default=0.0)
    return Sizes(body, tuple(sorted((s for s in counts if s >= HEADING_RATIO * body), reverse=True)))


def blocks_of(flows: Sequence[Flow], sizes: Sizes) -> tuple[RawBlock, ...]:
    """Paragraphs may go on in the next flow."""
    groups: list[list[Item]] = []
    for flow in flows:
        edges = (min(item.box[0] for item in flow), max(item.box[2] for item in flow))
        pitch = _pitch(flow)
        for item in flow:
            before = groups[-1][-1] if groups else None
            if before is None or _begins(before, item, before in flow, edges, pitch, sizes):
                groups.append([item])
            else:
                groups[-1].append(item)
    return tuple(_block(group, sizes) for group in groups)


def _begins(
    before: Item, item: Item, same_flow: bool, edges: tuple[float, float], pitch: float, sizes: Sizes
) -> bool:
    """Whether `item` is the first line of a block."""
    level = sizes.level(item)
    if item.is_table or before.is_table or level != sizes.level(before):
        return True
    if abs(item.size - before.size) > 0.12 * before.size or _BEGINS.match(item.text):
        return True
    ended = bool(_SENTENCE_END.search(before.text.rstrip()))
    may_begin = bool(_MAY_BEGIN.match(item.text))
    if not same_flow:
        return ended or level > 0 or (may_begin and not _ENDS_SENTENCES.match(item.text))
    if item.box[1] - before.box[1] > 1.4 * pitch or (level and bool(_CHAPTER.match(item.text))):
        return True
    short = before.box[2] < edges[1] - 2.5 * before.size
    indented = item.box[0] > edges[0] + 0.7 * item.size and before.box[0] <= edges[0] + 0.3 * item.size
    if may_begin and (ended or short):
        return True
    return level == 0 and ended and (short or indented)


def _block(group: list[Item], sizes: Sizes) -> RawBlock:
    first = group[0]
    level = sizes.level(first)
    kind: BlockKind = "table" if first.is_table else "heading" if level else "paragraph"
    return RawBlock(kind, tuple(RawLine(item.text, item.box) for item in group), level)


def _pitch(flow: Flow) -> float:
    """From one line's top to the next's."""
    steps = [
        below.box[1] - above.box[1]
        for above, below in pairwise(flow)
        if not above.is_table and not below.is_table and below.box[1] > above.box[1]
    ]
    size = flow[0].size
    return max(min(median(steps), 2 * size), size) if steps else 2 * size


def _rounded(size: float) -> float:
    return round(size * 2) / 2
