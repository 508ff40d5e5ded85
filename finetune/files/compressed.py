"""Files that may be compressed, read as if they were not."""

import gzip
import zlib
from typing import BinaryIO, cast

from common.zstd import ZstdError, ZstdFile

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
BROKEN = (EOFError, zlib.error, gzip.BadGzipFile, ZstdError)
"""What reading raises of a compressed file that was cut off or holds something else, too."""


def decompressed(file: BinaryIO) -> BinaryIO:
    """`file`, read through gzip or Zstandard when its first bytes say so."""
    magic = file.read(4)
    file.seek(0)
    if magic[:2] == GZIP:
        return cast(BinaryIO, gzip.GzipFile(fileobj=file))
    return cast(BinaryIO, ZstdFile(file)) if magic == ZSTD else file
