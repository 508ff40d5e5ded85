"""Read a file of any known format: `read_file`. It is parsed in a process of its own, within limits."""

import hashlib
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import msgspec

from common.child_environment import SYSTEM, child_environment
from common.child_process import ending_with_parent, how_it_ended
from common.errors import UserError
from documents.document import Document
from documents.read.assemble import assemble
from documents.read.formats import format_of
from documents.read.raw import RawDocument, ReaderReply, Unreadable


@dataclass(frozen=True)
class ReadLimits:
    """How much memory, time and output reading one file may take."""

    file_bytes: int = 256 * 2**20
    memory_bytes: int = 2 * 2**30
    seconds: int = 180
    text_bytes: int = 64 * 2**20
    """Most bytes of the text, with its places on the pages."""
    ocr: bool = False
    """Whether pages of a PDF that are pictures are read with tesseract, which must be there: one or two
    seconds each, for which there are `ocr_seconds` in all."""
    ocr_seconds: int = 3600

    @property
    def all_seconds(self) -> int:
        """The longest time for one file."""
        return self.ocr_seconds if self.ocr else self.seconds


def read_file(path: Path, limits: ReadLimits = ReadLimits()) -> Document:
    """Raises UserError: one line that names the file, says why it can't be read and what to do."""
    return read_file_as(path.name, path, limits, shown=str(path))


def read_file_as(
    name: str, path: Path, limits: ReadLimits = ReadLimits(), *, shown: str | None = None
) -> Document:
    """`read_file` for a file that is kept under another name than its own, `name`, with the same suffix.
    Raises UserError, which calls the file `shown` (`name`)."""
    try:
        format_of(Path(name))
        digest = _hash(path, limits.file_bytes)
        return assemble(_parsed(path, limits), name, digest)
    except Unreadable as error:
        raise UserError(f"{shown or name} cannot be read: {error.reason}.", hint=error.hint) from error
    except OSError as error:
        raise UserError(f"{shown or name} cannot be read: {error.strerror or error}.") from error


def hash_of(path: Path) -> str:
    """SHA-256 of the file's bytes, as in `Document.sha256`; "" for a file that cannot be read."""
    try:
        return _hash(path, ReadLimits.file_bytes)
    except (Unreadable, OSError):
        return ""


def _hash(path: Path, most_bytes: int) -> str:
    if path.exists() and not path.is_file():
        raise Unreadable("it is no file")
    size = path.stat().st_size
    if size > most_bytes:
        raise Unreadable(
            f"it has {size / 2**20:,.0f} MiB, more than {most_bytes / 2**20:,.0f} MiB", "Split it."
        )
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parsed(path: Path, limits: ReadLimits) -> RawDocument:
    figures = [limits.memory_bytes, limits.all_seconds, limits.text_bytes]
    command = [sys.executable, "-P", "-m", "documents.read.reading_process", str(path), *map(str, figures)]
    command.append("ocr" if limits.ocr else "")
    process = subprocess.Popen(
        ending_with_parent(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=child_environment(os.environ, SYSTEM),
    )
    late = threading.Event()

    def stop() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(limits.all_seconds, stop)
    timer.start()
    try:
        assert process.stdout is not None
        with process.stdout:
            written = process.stdout.read(limits.text_bytes + 1024)
    finally:
        timer.cancel()
        process.kill()
        code = process.wait()
    return _answer(written, code, late.is_set(), limits)


def _answer(written: bytes, code: int, late: bool, limits: ReadLimits) -> RawDocument:
    try:
        answer = msgspec.json.decode(written, type=ReaderReply)
    except msgspec.DecodeError as error:
        if late or code in (-24, -9):  # SIGXCPU, or SIGKILL right after it
            raise Unreadable(f"reading it takes more than {limits.all_seconds} s") from error
        raise Unreadable(f"its reader was stopped by it ({how_it_ended(code)})") from error
    if answer.document is None:
        raise Unreadable(answer.reason, answer.hint)
    return answer.document
