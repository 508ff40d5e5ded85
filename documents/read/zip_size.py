"""Whether a zip file, which Office and HWPX files are, unpacks to more than anybody writes."""

import zipfile
from pathlib import Path

from documents.read.raw import Unreadable

MOST_UNPACKED_BYTES = 512 * 2**20


def check_unpacked_size(path: Path) -> None:
    """Raises Unreadable for a zip bomb by its own figures, and for a file that is no zip file.

    A file that lies about its size is stopped by the memory limit of the process that reads it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(part.file_size for part in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise Unreadable("it is damaged") from error
    if size > MOST_UNPACKED_BYTES:
        raise Unreadable(f"it unpacks to {size / 2**20:,.0f} MiB")
