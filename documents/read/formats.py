"""Which reader a file gets: by its suffix, which its first bytes must not contradict."""

import functools
from collections.abc import Callable
from pathlib import Path

from documents.read.raw import LOCKED, RawDocument, Unreadable

SUFFIXES = {
    ".pdf": "pdf",
    ".hwpx": "hwpx",
    ".hwp": "hwp",
    ".docx": "docx",
    ".pptx": "pptx",
    ".xlsx": "xlsx",
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
}
PICTURES = {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff"}
"""Formats that only OCR reads, with their first bytes."""
_ZIP = b"PK\x03\x04"
_COMPOUND = bytes.fromhex("d0cf11e0a1b11ae1")
"""Microsoft's compound file: HWP 5, old Office files, and new ones with a password."""
_OFFICE = ("docx", "pptx", "xlsx")


def readable_suffixes(*, ocr: bool) -> set[str]:
    """Those of files that can be read, which pictures are only with OCR."""
    return {suffix for suffix, name in SUFFIXES.items() if ocr or name not in PICTURES}


def format_of(path: Path) -> str:
    """The format that the file's name says. Raises Unreadable for others."""
    found = SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise Unreadable(
            f"files of the kind {path.suffix or '(no suffix)'!r} are not read",
            f"These are: {', '.join(SUFFIXES)}.",
        )
    return found


def parse(path: Path, *, ocr: bool = False) -> RawDocument:
    """Read the file in this process, which hostile files may end; with `ocr` pictures, too.
    Raises Unreadable, OSError and, for a broken file, whatever its parser raises."""
    name = format_of(path)
    with path.open("rb") as file:
        head = file.read(1024)
    if not head:
        raise Unreadable("it is empty")
    _check_head(name, head)
    return _reader(name, ocr)(path)


def _check_head(name: str, head: bytes) -> None:
    if name == "pdf" and b"%PDF-" not in head:
        raise Unreadable("it is no PDF file")
    if name in PICTURES and not head.startswith(PICTURES[name]):
        raise Unreadable(f"it is no {name.upper()} file")
    if name in _OFFICE and head.startswith(_COMPOUND):
        raise Unreadable(LOCKED, "Save it without the password.")
    if name in (*_OFFICE, "hwpx") and not head.startswith(_ZIP):
        raise Unreadable(f"it is no {name.upper()} file")


def _reader(name: str, ocr: bool) -> Callable[[Path], RawDocument]:
    """Only the parser that is needed is imported."""
    if name == "pdf":
        from documents.read.pdf import read_pdf

        return functools.partial(read_pdf, ocr=ocr)
    if name in PICTURES:
        from documents.read.picture import read_picture

        return functools.partial(read_picture, kind=name, ocr=ocr)
    if name in ("hwp", "hwpx"):
        from documents.read.hwp import read_hwp

        return read_hwp
    if name == "docx":
        from documents.read.docx import read_docx

        return read_docx
    if name == "pptx":
        from documents.read.pptx import read_pptx

        return read_pptx
    if name == "xlsx":
        from documents.read.xlsx import read_xlsx

        return read_xlsx
    if name == "html":
        from documents.read.html import read_html

        return read_html
    if name == "markdown":
        from documents.read.markdown import read_markdown

        return read_markdown
    from documents.read.plain_text import read_text

    return read_text
