"""Reads PDFs for the web UI's chat, where the extra `documents` is installed."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from common.errors import UserError

MEMORY_BYTES = 2**30
SECONDS = 30
TEXT_BYTES = 4 * 2**20


def paper_reader() -> Callable[[bytes], str] | None:
    """What reads one; None without the extra."""
    from kodolly.document_store import missing_libraries

    return None if missing_libraries() else paper_text


def paper_text(content: bytes) -> str:
    """The text of a PDF, page after page, read in a process of its own. Raises ValueError with the reason,
    and LockedPaper."""
    from documents.read.file import ReadLimits, read_file_as
    from documents.read.raw import LOCKED, Unreadable
    from webui.files.reading import LockedPaper

    limits = ReadLimits(memory_bytes=MEMORY_BYTES, seconds=SECONDS, text_bytes=TEXT_BYTES)
    with tempfile.TemporaryDirectory(prefix="kodolly-paper-") as directory:
        path = Path(directory) / "paper.pdf"
        path.write_bytes(content)
        try:
            document = read_file_as(path.name, path, limits)
        except UserError as error:
            if isinstance(error.__cause__, Unreadable) and error.__cause__.reason == LOCKED:
                raise LockedPaper(LOCKED) from error
            raise ValueError(str(error).removeprefix(f"{path.name} cannot be read: ").rstrip(".")) from error
    return "\n\n".join(page.text for page in document.pages)
