"""Passages from the files in a folder, as a teacher gets them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from common.normal_form import nfc
from documents.answers.marks import harmless
from documents.chunks import Chunk, chunks_of
from documents.document import Document
from documents.read.file import read_file
from documents.read.folder import readable_files
from finetune.progress import Progress, Report, finished

FEWEST_CHARACTERS = 80
"""Characters; a shorter passage is a heading or a fragment."""


@dataclass(frozen=True)
class SourcePassage:
    """One passage of a file."""

    source: str
    """The file's path, relative to the folder that was read."""
    chunk: Chunk

    @property
    def text(self) -> str:
        """The passage's text, unchanged."""
        return self.chunk.text

    @property
    def headings(self) -> str:
        """The headings above it, in one line."""
        return " > ".join(heading for heading in self.chunk.headings if "\n" not in heading)

    @property
    def id(self) -> str:
        """A hash of file and text."""
        return hashlib.sha256(f"{self.source}\n{self.text}".encode()).hexdigest()[:16]

    def shown(self) -> str:
        """The text for a prompt, changed so that it can neither close its tag nor begin another role."""
        head = f"(제목: {harmless(self.headings)})\n" if self.headings else ""
        return f"<글>\n{head}{harmless(self.text).replace('</글', '< /글')}\n</글>"


@dataclass(frozen=True)
class Reading:
    """What was read from a folder."""

    documents: tuple[tuple[str, Document], ...]
    """(source, document) of each file that could be read."""
    passages: tuple[SourcePassage, ...]
    failed: tuple[str, ...]
    """A line for each file that could not be read."""
    short: int
    """Number of passages that are too short to ask about."""
    repeated: int
    """Number of passages whose text another passage has, too."""


def read_folder(folder: Path, size: int, report: Report) -> Reading:
    """Read all documents below `folder`, or the one file; `size` is the most characters of a passage. Raises
    UserError where nothing can be read."""
    documents, failed = [], []
    listed = list(readable_files([folder]))
    for done, path in enumerate(listed):
        source = str(path.relative_to(folder)) if path != folder else path.name
        report(Progress("reading", done / len(listed), source))
        try:
            documents.append((nfc(source), read_file(path)))
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
