"""Finds page headers, footers and page numbers, which are no part of the text."""

import re
from collections import Counter
from collections.abc import Sequence

from documents.read.pdf_layout import Item

MARGIN = 0.12
"""The share of a page's height, at its upper and its lower edge, in which they stand."""
_SAME_HEIGHT_PT = 4.0
_NUMBER = re.compile(
    r"[-–—\s\[(]*(?:page|p\.|쪽|페이지)?\s*(?:\d{1,4}|[ivxlc]{1,6})(?:\s*(?:/|of)\s*\d{1,4})?"
    r"\s*(?:쪽|페이지|면)?[-–—\s\])]*$",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"\d+")

Key = tuple[str, int]


def without_running_heads(pages: Sequence[list[Item]], heights: Sequence[float]) -> list[list[Item]]:
    """The pages without what repeats at one height, and without page numbers.

    A line counts as repeated on half of the pages; in a long document on four, as headers may name the
    chapter.
    """
    keys = [
        [_key(item) if _in_margin(item, height, MARGIN) else None for item in page]
        for page, height in zip(pages, heights, strict=True)
    ]
    counts = Counter(key for page in keys for key in {key for key in page if key is not None})
    least = max(2, min(len(pages) // 2, 4))
    return [
        [
            item
            for item, key in zip(page, page_keys, strict=True)
            if key is None or (counts[key] < least and not _is_number(item, height))
        ]
        for page, page_keys, height in zip(pages, keys, heights, strict=True)
    ]


def _key(item: Item) -> Key:
    masked = _DIGITS.sub("#", "".join(item.text.split()))
    return masked, round(item.box[1] / _SAME_HEIGHT_PT)


def _in_margin(item: Item, height: float, share: float) -> bool:
    if item.is_table:
        return False
    return item.box[3] <= share * height or item.box[1] >= (1 - share) * height


def _is_number(item: Item, height: float) -> bool:
    return bool(_NUMBER.match(item.text.strip())) and _in_margin(item, height, 0.09)
