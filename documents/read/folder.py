"""Which files of a folder can be read."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from documents.read.formats import readable_suffixes


def readable_files(paths: Iterable[Path], *, ocr: bool = False) -> Iterator[Path]:
    """Files just as they are given; from folders all that can be read, pictures only with `ocr`, hidden files
    and folders left out."""
    wanted = readable_suffixes(ocr=ocr)
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for found in sorted(path.rglob("*")):
            hidden = any(part.startswith(".") for part in found.relative_to(path).parts)
            if found.suffix.lower() in wanted and not hidden and found.is_file():
                yield found
