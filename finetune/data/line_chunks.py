"""JSONL files of any size, plain or compressed, as stretches of whole lines."""

import gzip
import io
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from common.errors import UserError
from finetune.data.unreadable import unreadable

CHUNK = 4_000_000
"""Bytes of text for one process at a time."""
LONGEST_LINE = 256_000_000
"""Bytes after which a line is taken for a file of another format."""
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
UTF16 = (b"\xff\xfe", b"\xfe\xff")
_ZSTD_READ = 16_384
"""Compressed bytes unpacked at a time: they may become thousands of times as many."""
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Chunk:
    """Whole lines that stand together in a file."""

    first: int
    """Number of its first line, from 1."""
    data: bytes
    done: float
    """How much of the file has been read up to its end, 0 to 1."""


def line_chunks(path: Path, size: int = CHUNK) -> Iterator[Chunk]:
    """The file's lines in stretches of about `size` bytes, without a byte order mark.

    gzip and Zstandard are known by their first bytes. Raises UserError with the line that was reached.
    """
    number, rest = 1, b""
    try:
        with path.open("rb") as file:
            total = max(1, os.fstat(file.fileno()).st_size)
            stream = decompressed(file)
            while True:
                block = stream.read(size)
                done = min(1.0, file.tell() / total)
                if number == 1 and not rest:
                    block = _without_mark(block, path)
                cut = block.rfind(b"\n") + 1
                if block and not cut:
                    rest += block
                    if len(rest) > LONGEST_LINE:
                        raise UserError(
                            f"{path}, line {number}: longer than {LONGEST_LINE // 1_000_000} MB.",
                            hint="JSON Lines holds one row on each line; `kodolly data convert` makes it.",
                        )
                    continue
                data = rest + block[:cut]
                rest = block[cut:]
                if data:
                    yield Chunk(number, data, done)
                    number += data.count(b"\n")
                if not block:
                    return
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}, after line {number}: the compressed file is broken ({error}).") from error
    except OSError as error:
        raise unreadable(path, error, "The row file") from error


def decompressed(file: BinaryIO) -> BinaryIO:
    """`file`, read through gzip or Zstandard when its first bytes say so."""
    magic = file.read(4)
    file.seek(0)
    if magic[:2] == GZIP:
        return cast(BinaryIO, gzip.GzipFile(fileobj=file))
    if magic == ZSTD:
        return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, _zstd(file))))
    return file


def _zstd(file: BinaryIO) -> object:
    import zstandard

    class Reader(io.RawIOBase):
        """Frame after frame. zstandard's own stream_reader takes a file that was cut off for a whole one."""

        def __init__(self) -> None:
            self.frame: Any = zstandard.ZstdDecompressor().decompressobj()
            self.ahead = b""
            self.left = b""

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: object) -> int:
            view = memoryview(cast(bytearray, buffer))
            while not self.left:
                packed = self.ahead or file.read(_ZSTD_READ)
                self.ahead = b""
                if not packed:
                    if self.frame is not None and not self.frame.eof:
                        raise EOFError("it ends early")
                    return 0
                if self.frame is None:
                    self.frame = zstandard.ZstdDecompressor().decompressobj()
                try:
                    self.left = self.frame.decompress(packed)
                except zstandard.ZstdError as error:
                    raise OSError(f"broken Zstandard data: {error}") from error
                if self.frame.eof:
                    self.ahead = self.frame.unused_data
                    self.frame = None
            count = min(len(view), len(self.left))
            view[:count] = self.left[:count]
            self.left = self.left[count:]
            return count

    return Reader()


def _without_mark(block: bytes, path: Path) -> bytes:
    if block.startswith(UTF16):
        raise UserError(f"{path} is UTF-16 text.", hint="Save it as UTF-8.")
    return block.removeprefix(BOM)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes its name only when the block ends well. Raises UserError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb", buffering=1 << 20) as file:
            yield file
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        part.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
