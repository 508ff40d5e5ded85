"""`kodolly documents add`."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from common.errors import UserError
from kodolly.document_store import opened_store, require_documents, store_options
from kodolly.echo import echo_line

if TYPE_CHECKING:
    from documents.document import Document
    from documents.read.file import ReadLimits
    from documents.search.store import Store
    from documents.search.stored import StoredDocument

EPILOG = """\b
Examples:
  kodolly documents add 규정집 안내.pdf --store handbook
  kodolly documents add 규정집 --store handbook --chunk-size 500
  kodolly documents add 스캔.pdf --store handbook --ocr
"""


@click.command("add", epilog=EPILOG)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--chunk-size",
    type=click.IntRange(1),
    default=800,
    show_default=True,
    help="Characters of a passage, at most.",
)
@click.option(
    "--ocr",
    is_flag=True,
    help="Read pictures, too (PNG, JPEG, pages of PDF), with tesseract (1 to 2 s each).",
)
@store_options
def command(paths: tuple[Path, ...], chunk_size: int, ocr: bool, name: str, config: Path | None) -> None:
    """Read the files PATHS, and all readable files in the folders among them, into a store.

    A file that the store has from the same path is replaced when it has changed, else left alone: an
    interrupted run goes on where it was. Text that nobody can see is left out and counted. Exit code 1 when
    a file could not be read; the others are in the store.
    """
    require_documents()
    from documents.read.file import ReadLimits
    from documents.read.folder import readable_files
    from documents.read.ocr import require_tesseract
    from documents.search.calibration import calibrate

    limits = ReadLimits(ocr=ocr)
    if ocr:
        require_tesseract()
    failed = 0
    with opened_store(name, config, create=True) as store:
        changed = False
        known = {one.source: one for one in store.documents()}
        for path in readable_files(paths, ocr=ocr):
            try:
                line = _add(store, path, chunk_size, known.get(str(path.resolve())), limits)
                changed |= not line.startswith("unchanged")
                echo_line(line)
            except UserError as error:
                failed += 1
                echo_line(f"kodolly: {error}", err=True)
        if changed:
            calibrate(store)
    if failed:
        raise SystemExit(1)


def _add(
    store: "Store", path: Path, chunk_size: int, known: "StoredDocument | None", limits: "ReadLimits"
) -> str:
    """Put one file into the store; returns what to say of it. Raises UserError."""
    from documents.chunks import chunks_of
    from documents.read.file import hash_of, read_file

    unread = limits.ocr and known is not None and known.problems
    if known is not None and not unread and (known.sha256, known.chunk_size) == (hash_of(path), chunk_size):
        return f"unchanged  {path}"
    document = read_file(path, limits)
    chunks = chunks_of(document, chunk_size)
    store.add(str(path.resolve()), document, chunks, chunk_size)
    return f"{'replaced' if known else 'added':<9}  {path}: {len(chunks)} passages{_notes(document)}"


def _notes(document: "Document") -> str:
    notes = []
    paged = [page for page in document.pages if page.number is not None]
    if paged:
        notes.append(f"{len(paged)} pages")
    if document.hidden_characters:
        notes.append(f"{document.hidden_characters} hidden characters left out")
    problems: dict[str, list[int | None]] = {}
    for page in document.pages:
        if page.problem and page.confidence is None:
            problems.setdefault(page.problem, []).append(page.number)
    for problem, numbers in problems.items():
        notes.append(f"not read: page {_ranges(numbers)} ({problem})")
    pictures = [page for page in document.pages if page.confidence is not None]
    if pictures:
        least = min(page.confidence or 0.0 for page in pictures)
        pages = _ranges([page.number for page in pictures])
        notes.append(f"recognised in pictures: page {pages} (confidence {least:.0f}% or more)")
    return "".join(f", {note}" for note in notes)


def _ranges(numbers: Iterable[int | None]) -> str:
    """As 1-3, 7."""
    ranges: list[list[int]] = []
    for number in numbers:
        if number is None:
            continue
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ranges)
