"""Files that may be compressed, read as if they were not."""

import gzip
import io
from typing import Any, BinaryIO, cast

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_ZSTD_READ = 16_384
"""Compressed bytes unpacked at a time: they may become thousands of times as many."""


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
