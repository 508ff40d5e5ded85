"""TXT: paragraphs are what empty lines part."""

import re
from pathlib import Path

from documents.read.decode import decode_text
from documents.read.raw import RawDocument, RawPage, block

_EMPTY_LINES = re.compile(r"\n[^\S\n]*(?:\n[^\S\n]*)+|\f")


def read_text(path: Path) -> RawDocument:
    """Raises Unreadable and OSError."""
    text = decode_text(path.read_bytes())
    parts = [part.strip("\n") for part in _EMPTY_LINES.split(text)]
    blocks = tuple(block("paragraph", part) for part in parts if part.strip())
    return RawDocument("text", (RawPage(None, blocks),))
