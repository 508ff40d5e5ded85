"""From pieces of text on a page to lines in the order in which people read them: column by column."""

from dataclasses import dataclass
from itertools import groupby, pairwise
from statistics import median

from documents.read.raw import Box

LEAST_LINES = 3
"""Fewest lines on each side of a gutter."""
LEAST_GUTTER = 0.8
"""Width of the gap between columns, in heights of a line."""
LEAST_FILL = 0.5
"""The median width of a column's lines is at least this share of the column: cells of a list are narrower."""
FULL = 0.8
"""A line that fills its column, as a share of its width."""
MOST_CROSSING = 0.4
_MOST_ITEMS = 2000


@dataclass(frozen=True)
class Item:
    """A line's part, or a whole table."""

    text: str
    box: Box
    size: float
    is_table: bool = False


Flow = list[Item]
"""Lines of one column, from top to bottom."""


def reading_order(items: list[Item]) -> list[Flow]:
    """The flows of a page in the order of reading."""
    whole = _lines(items)
    gutter = _gutter(whole) if 2 * LEAST_LINES <= len(whole) <= _MOST_ITEMS else None
    if gutter is None:
        return [whole] if whole else []
    flows: list[Flow] = []
    for crosses, band in _bands(whole, gutter):
        if crosses:
            flows.append(band)
            continue
        columns, below = _balanced(band, gutter)
        flows += reading_order([item for item in columns if item.box[2] <= gutter])
        flows += reading_order([item for item in columns if item.box[2] > gutter])
        flows += [below] if below else []
    return flows


def _balanced(band: Flow, gutter: float) -> tuple[Flow, Flow]:
    """(the columns, what stands below both of them). Columns that were made equally long end on one line; a
    table or short lines under one of them come after both. Lines that fill the column are more of it."""
    left = [item for item in band if item.box[2] <= gutter]
    right = [item for item in band if item.box[2] > gutter]
    if not left or not right:
        return band, []
    shorter, longer = sorted((left, right), key=lambda side: max(item.box[3] for item in side))
    end = max(item.box[3] for item in shorter)
    below = [item for item in longer if item.box[1] >= end]
    above = [item for item in longer if item.box[1] < end]
    if not above or abs(max(item.box[3] for item in above) - end) > 0.5 * median(i.size for i in above):
        return band, []
    width = max(item.box[2] for item in above) - min(item.box[0] for item in above)
    if any(not item.is_table and item.box[2] - item.box[0] > FULL * width for item in below):
        return band, []
    return [item for item in band if item not in below], below


def _lines(items: list[Item]) -> Flow:
    """Parts that stand side by side closer than a gutter become one line; sorted from the top."""
    lines: list[list[Item]] = []
    for item in sorted(items, key=lambda item: (_middle(item), item.box[0])):
        line = next((line for line in reversed(lines[-8:]) if _is_beside(line, item)), None)
        if line is None:
            lines.append([item])
        else:
            line.append(item)
    made = [_joined(sorted(line, key=lambda item: item.box[0])) for line in lines]
    return sorted(made, key=lambda item: (item.box[1], item.box[0]))


def _is_beside(line: list[Item], item: Item) -> bool:
    if item.is_table or line[0].is_table:
        return False
    tallest = max(item.size, *(part.size for part in line))
    on_one_line = abs(_middle(line[0]) - _middle(item)) < 0.35 * tallest
    left, right = min(part.box[0] for part in line), max(part.box[2] for part in line)
    gap = max(item.box[0] - right, left - item.box[2])
    return on_one_line and gap < LEAST_GUTTER * tallest


def _joined(parts: list[Item]) -> Item:
    text = parts[0].text
    for before, part in pairwise(parts):
        gap = part.box[0] - before.box[2]
        text = text + part.text if gap < 0.15 * part.size else f"{text.rstrip()} {part.text.lstrip()}"
    boxes = [part.box for part in parts]
    box = (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )
    return Item(text, box, max(part.size for part in parts), parts[0].is_table)


def _gutter(lines: Flow) -> float | None:
    """The x at which columns part: crossed by the fewest lines; None for a page of one column."""
    left, right = min(item.box[0] for item in lines), max(item.box[2] for item in lines)
    size = median(item.size for item in lines)
    best: tuple[int, float] | None = None
    where = None
    for x in sorted({round(item.box[2], 1) for item in lines}):
        if not left + 0.15 * (right - left) <= x <= right - 0.15 * (right - left):
            continue
        sides = ([i for i in lines if i.box[2] <= x + 0.1], [i for i in lines if i.box[0] > x + 0.1])
        crossing = len(lines) - len(sides[0]) - len(sides[1])
        if min(map(len, sides)) < LEAST_LINES or crossing > MOST_CROSSING * len(lines):
            continue
        gap = min(item.box[0] for item in sides[1]) - x
        if gap < LEAST_GUTTER * size or not all(map(_is_column, sides)):
            continue
        if best is None or (crossing, -gap) < best:
            best, where = (crossing, -gap), x + gap / 2
    return where


def _is_column(lines: Flow) -> bool:
    width = max(item.box[2] for item in lines) - min(item.box[0] for item in lines)
    return median(item.box[2] - item.box[0] for item in lines) >= LEAST_FILL * width


def _bands(lines: Flow, gutter: float) -> list[tuple[bool, Flow]]:
    """Lines that cross the gutter, and those between them, from the top."""
    crosses = [item.box[0] < gutter < item.box[2] for item in lines]
    marked = sorted(zip(crosses, lines, strict=True), key=lambda pair: _middle(pair[1]))
    return [(key, [item for _, item in group]) for key, group in groupby(marked, key=lambda pair: pair[0])]


def _middle(item: Item) -> float:
    return (item.box[1] + item.box[3]) / 2
