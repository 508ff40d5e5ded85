"""What passes from the process that parses a file to the one that asked for it: lines, not yet joined.

Joining lines takes a language model of half a gigabyte, which a process for a single file must not load.
"""

from dataclasses import dataclass

from documents.document import BlockKind

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class RawLine:
    """A line as it is printed, with its box in points from the upper left corner (None: unknown)."""

    text: str
    box: Box | None = None


@dataclass(frozen=True)
class RawBlock:
    """Lines that belong together. Only those of a printed page need joining; others are one line."""

    kind: BlockKind
    lines: tuple[RawLine, ...]
    level: int = 0


@dataclass(frozen=True)
class RawPage:
    """As `documents.document.Page`."""

    number: int | None
    blocks: tuple[RawBlock, ...]
    hidden_characters: int = 0
    problem: str = ""
    confidence: float | None = None


@dataclass(frozen=True)
class RawDocument:
    """As `documents.document.Document`; `title` is empty where the file gives none."""

    format: str
    pages: tuple[RawPage, ...]
    title: str = ""


LOCKED = "it is protected with a password"
"""Why a file cannot be read, by far the most often."""


class Unreadable(Exception):
    """The file cannot be read. `reason` says why, as a clause without an end mark; `hint` what to do."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True)
class ReaderReply:
    """What the reading process writes: a document, or why there is none."""

    document: RawDocument | None = None
    reason: str = ""
    hint: str = ""


def block(kind: BlockKind, text: str, level: int = 0) -> RawBlock:
    """A block of formats whose paragraphs are whole."""
    return RawBlock(kind, (RawLine(text),), level)
