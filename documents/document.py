"""What a reader makes of a file: pages of text, and where each heading, paragraph and table stands in it.

Offsets count characters of `Page.text`, which is NFC; a passage is a page's number and such a span.
"""

from dataclasses import dataclass
from typing import Literal

BlockKind = Literal["heading", "paragraph", "table", "code"]
Joint = Literal["", " "]

BLOCK_GAP = "\n\n"
"""What stands between two blocks in the text of a page."""


@dataclass(frozen=True)
class Block:
    """A part of a page that belongs together."""

    kind: BlockKind
    start: int
    end: int
    level: int = 0
    """Of a heading: 1 is the highest."""
    goes_on: Joint | None = None
    """What joins it to the last block of the page before, where it is the rest of that paragraph."""


@dataclass(frozen=True)
class Line:
    """A printed line: its span in the page's text, and its box for a mark on the page."""

    start: int
    end: int
    box: tuple[float, float, float, float]
    """Left, top, right, bottom in points from the page's upper left corner."""


@dataclass(frozen=True)
class Page:
    """One page; the whole document where its format has no pages."""

    number: int | None
    """From 1; None where the format has no pages."""
    text: str
    blocks: tuple[Block, ...]
    lines: tuple[Line, ...] = ()
    """Empty for formats that do not say where text is printed."""
    hidden_characters: int = 0
    """How many characters were left out because nobody who looks at the page can see them."""
    problem: str = ""
    """Why the text of this page is missing or doubtful."""
    confidence: float | None = None
    """How sure OCR is of the text, in percent; None where the file itself holds it."""


@dataclass(frozen=True)
class Document:
    """A file that was read."""

    name: str
    """The file's name, without its directories."""
    format: str
    sha256: str
    """Of the file's bytes."""
    title: str
    """The title that the file gives, else its first heading, else its name without the suffix."""
    pages: tuple[Page, ...]

    @property
    def characters(self) -> int:
        """Of the text of all pages."""
        return sum(len(page.text) for page in self.pages)

    @property
    def hidden_characters(self) -> int:
        """Those of all pages."""
        return sum(page.hidden_characters for page in self.pages)
