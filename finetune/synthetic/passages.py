"""Passages of the files in a folder, as a teacher is shown them."""

import hashlib
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from documents.answers.prompt import harmless
from documents.chunks import Chunk, chunks_of
from documents.document import Document
from documents.read.file import read_file
from documents.read.folder import readable_files
from finetune.progress import Progress, Report, finished

FEWEST_CHARACTERS = 80
"""A shorter passage is a heading or a rest of something."""


@dataclass(frozen=True)
class SourcePassage:
    """One passage of a file."""

    source: str
    """The file's path, from the folder that was read."""
    chunk: Chunk

    @property
    def text(self) -> str:
        """As it stands in the file."""
        return self.chunk.text

    @property
    def headings(self) -> str:
        """Those above it, in one line."""
        return " > ".join(heading for heading in self.chunk.headings if "\n" not in heading)

    @property
    def id(self) -> str:
        """Of file and text."""
        return hashlib.sha256(f"{self.source}\n{self.text}".encode()).hexdigest()[:16]

    def shown(self) -> str:
        """For a prompt, in which it can neither end its place nor begin a role."""
        head = f"(제목: {harmless(self.headings)})\n" if self.headings else ""
        return f"<글>\n{head}{harmless(self.text).replace('</글', '< /글')}\n</글>"


@dataclass(frozen=True)
class Reading:
    """What a folder holds."""

    documents: tuple[tuple[str, Document], ...]
    """(source, document) of each file that could be read."""
    passages: tuple[SourcePassage, ...]
    failed: tuple[str, ...]
    """A line for each file that could not."""
    short: int
    """Passages that are too short to ask about."""
    repeated: int
    """Passages whose text another one has, too."""


def read_folder(folder: Path, size: int, report: Report) -> Reading:
    """All files that can be read below `folder`, or the one file; `size` is the most characters of a passage.
    Raises UserError where nothing can be read."""
    documents, failed = [], []
    listed = list(readable_files([folder]))
    for done, path in enumerate(listed):
        source = str(path.relative_to(folder)) if path != folder else path.name
        report(Progress("reading", done / len(listed), source))
        try:
            documents.append((unicodedata.normalize("NFC", source), read_file(path)))
        except UserError as error:
            failed.append(str(error))
    report(finished("reading", f"{len(documents)} of {len(listed)} files"))
    found = [SourcePassage(source, chunk) for source, one in documents for chunk in chunks_of(one, size)]
    long = [passage for passage in found if len(passage.text) >= FEWEST_CHARACTERS]
    kept = list({passage.text: passage for passage in reversed(long)}.values())[::-1]
    if not kept:
        raise UserError(
            "No passage to ask about was found.", hint="\n".join(failed[:5]) or "The folder has no text."
        )
    return Reading(
        tuple(documents), tuple(kept), tuple(failed), len(found) - len(long), len(long) - len(kept)
    )
