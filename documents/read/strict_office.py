"""Office files in the strict form of ISO/IEC 29500, which names all otherwise: read by the usual names."""

import io
import re
import zipfile
from pathlib import Path

_STRICT = re.compile(rb"http://purl\.oclc\.org/ooxml/(\w+)/(\w+)")
_USUAL = rb"http://schemas.openxmlformats.org/\1/2006/\2"
_RELATIONS = "_rels/.rels"


def usual_names(part: bytes) -> bytes:
    """The XML of a part with the names of the transitional form, which nearly all files have."""
    return _STRICT.sub(_USUAL, part)


def usual_package(path: Path) -> Path | io.BytesIO:
    """The file, or where it is strict a copy with the usual names. Raises what `zipfile` raises."""
    with zipfile.ZipFile(path) as archive:
        if _RELATIONS not in archive.NameToInfo or not _STRICT.search(archive.read(_RELATIONS)):
            return path
        copy = io.BytesIO()
        with zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as made:
            for name in archive.namelist():
                part = archive.read(name)
                made.writestr(name, usual_names(part) if name.endswith((".xml", ".rels")) else part)
    copy.seek(0)
    return copy
