"""Reading files that may be compressed as if they were not."""

import gzip
import zlib
from typing import BinaryIO, cast

from common.zstd import ZstdError, ZstdFile

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
BROKEN = (EOFError, zlib.error, gzip.BadGzipFile, ZstdError)
"""What reading raises for a compressed file that was cut off, or in which something else follows."""


def decompressed(file: BinaryIO) -> BinaryIO:
    """`file`, decompressed when its first bytes say that it is gzip or Zstandard."""
    magic = file.read(4)
    file.seek(0)
    if magic[:2] == GZIP:
        return cast(BinaryIO, gzip.GzipFile(fileobj=file))
    return cast(BinaryIO, ZstdFile(file)) if magic == ZSTD else file
