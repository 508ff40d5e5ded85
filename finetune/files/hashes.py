"""Hashes of files."""

import hashlib
from pathlib import Path

from finetune.files.unreadable import unreadable


def file_hash(path: Path) -> str:
    """SHA-256 of a file in hex. Raises UserError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error
