"""An HWP 5 file without what does not belong to its text: heads and feet of pages, and hidden comments.

unhwp reads their paragraphs like any others. A section is a stream of records with levels: what a control
holds are the records below it that have a higher level (Hancom, "한글 문서 파일 형식 5.0", 4.3).
"""

import re
import struct
import zlib
from dataclasses import dataclass

from documents.read.compound_file import BrokenCompoundFile, Stream, streams
from documents.read.raw import LOCKED, Unreadable

_HEADER = "FileHeader"
_SECTION = re.compile(r"Section\d+")
_COMPRESSED, _PASSWORD, _DISTRIBUTED = 1, 2, 4
_CONTROL = 71
"""Tag of a record that begins a control."""
_NOT_SHOWN = frozenset({b"daeh", b"toof", b"tmct"})
"""Signs of head, foot and hidden comment, last letter first."""
MOST_SECTION_BYTES = 256 * 2**20


@dataclass(frozen=True)
class _Record:
    start: int
    data: int
    end: int
    tag: int
    level: int


def shown_hwp5(content: bytes) -> bytes:
    """The file as it is to be read; as it is where it is none that can be taken apart. Raises Unreadable."""
    try:
        found = streams(content)
        flags = _flags(content, found)
    except BrokenCompoundFile:
        return content  # its reader says what is wrong
    if flags & _PASSWORD:
        raise Unreadable(LOCKED, "Save it without the password.")
    if flags & _DISTRIBUTED:
        # Its sections hold nothing but the advice to take a newer Hangul.
        raise Unreadable("it is protected against copying", "Save it without protection.")
    made = bytearray(content)
    for stream in found:
        if _SECTION.fullmatch(stream.name):
            _write_shown(stream, made, compressed=bool(flags & _COMPRESSED))
    return bytes(made)


def _flags(content: bytes, found: list[Stream]) -> int:
    for stream in found:
        if stream.name == _HEADER and len(head := stream.read(content)) >= 40:
            return int(struct.unpack_from("<I", head, 36)[0])
    return 0


def _write_shown(stream: Stream, content: bytearray, *, compressed: bool) -> None:
    """The section keeps its length in the file: zeros behind packed bytes are not read, others are empty
    records."""
    packed = stream.read(bytes(content))
    try:
        section = _unpacked(packed) if compressed else packed
        shown = _without_hidden(section)
    except (zlib.error, struct.error):
        return
    if len(shown) == len(section):
        return
    new = _packed(shown) if compressed else shown
    if len(new) <= len(packed):
        stream.write(content, new.ljust(len(packed), b"\0"))


def _unpacked(packed: bytes) -> bytes:
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
    section = unpacking.decompress(packed, MOST_SECTION_BYTES)
    if unpacking.unconsumed_tail:
        raise zlib.error
    return section


def _packed(section: bytes) -> bytes:
    packing = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return packing.compress(section) + packing.flush()


def _without_hidden(section: bytes) -> bytes:
    """Without the records below the controls that are not shown."""
    kept = []
    hidden: int | None = None
    for record in _records(section):
        if hidden is not None and record.level > hidden:
            continue
        kept.append(section[record.start : record.end])
        sign = section[record.data : record.data + 4]
        hidden = record.level if record.tag == _CONTROL and sign in _NOT_SHOWN else None
    return b"".join(kept)


def _records(section: bytes) -> list[_Record]:
    found = []
    at = 0
    while at + 4 <= len(section):
        (head,) = struct.unpack_from("<I", section, at)
        data, size = at + 4, head >> 20
        if size == 0xFFF:
            (size,) = struct.unpack_from("<I", section, data)
            data += 4
        end = min(data + size, len(section))
        found.append(_Record(at, data, end, head & 0x3FF, head >> 10 & 0x3FF))
        at = end
    return found
