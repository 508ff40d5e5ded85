"""HWP 5 files of a few records, in a compound file ([MS-CFB]), made anew for each test."""

import struct
import zlib
from pathlib import Path

SECTOR, MINI, LEAST = 512, 64, 4096
END, FREE, FAT_SECTOR, NONE = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD, 0xFFFFFFFF
STORAGE, STREAM, ROOT = 1, 2, 5
PARAGRAPH, TEXT, CONTROL, LIST, EQUATION = 66, 67, 71, 72, 88
EXTENDED = {"head": 16, "foot": 16, "tcmt": 15, "fn  ": 17, "eqed": 11}
"""Which character stands in the text for a control."""


def record(tag: int, level: int, data: bytes = b"") -> bytes:
    """With its head."""
    long = len(data) >= 0xFFF
    head = struct.pack("<I", tag | level << 10 | min(len(data), 0xFFF) << 20)
    return head + (struct.pack("<I", len(data)) if long else b"") + data


def paragraph(text: str, *controls: str, level: int = 0, inside: str = "") -> bytes:
    """A paragraph of `text` behind these controls, each of which holds a paragraph (a script) of
    `inside`."""
    signs = b"".join(
        struct.pack("<H", EXTENDED[one]) + one[::-1].encode() + bytes(8) + struct.pack("<H", EXTENDED[one])
        for one in controls
    )
    said = signs + (text + "\r").encode("utf-16-le")
    made = record(PARAGRAPH, level, struct.pack("<I", len(said) // 2) + bytes(20))
    made += record(TEXT, level + 1, said)
    for one in controls:
        made += record(CONTROL, level + 1, one[::-1].encode() + bytes(40))
        if one == "eqed":
            script = struct.pack("<IH", 0, len(inside)) + inside.encode("utf-16-le")
            made += record(EQUATION, level + 2, script + bytes(20))
            continue
        made += record(LIST, level + 2, struct.pack("<I", 1) + bytes(12))
        made += paragraph(inside, level=level + 2)
    return made


def write_hwp5(path: Path, section: bytes, *, flags: int = 1) -> Path:
    """A file with one section. `flags` are those of its head; 1 is compressed."""
    packing = zlib.compressobj(9, wbits=-15)
    head = b"HWP Document File".ljust(32, b"\0") + struct.pack("<II", 0x05000300, flags)
    body = packing.compress(section) + packing.flush() if flags & 1 else section
    info = zlib.compress(record(16, 0, bytes(26)), wbits=-15) if flags & 1 else record(16, 0, bytes(26))
    path.write_bytes(_compound(head.ljust(256, b"\0"), info, body))
    return path


def _compound(head: bytes, info: bytes, section: bytes) -> bytes:
    """Streams of less than 4096 bytes share the mini stream, others have sectors of their own."""
    sectors: list[bytes] = [b"", b"", b"", b""]  # FAT, two of the directory, mini FAT
    fat = [FAT_SECTOR, 2, END, END]
    mini_fat: list[int] = []
    mini = b""
    places = []
    for content in (head, info, section):
        if len(content) < LEAST:
            count = max(1, -(-len(content) // MINI))
            places.append((len(mini_fat), len(content)))
            mini_fat += _chain(len(mini_fat), count)
            mini += content.ljust(count * MINI, b"\0")
        else:
            places.append((_put(sectors, fat, content), len(content)))
    inner = _put(sectors, fat, mini)
    entries = [
        _entry("Root Entry", ROOT, inner, len(mini), child=1),
        _entry("BodyText", STORAGE, 0, 0, left=2, right=3, child=4),
        _entry("DocInfo", STREAM, *places[1]),
        _entry("FileHeader", STREAM, *places[0]),
        _entry("Section0", STREAM, *places[2]),
    ]
    directory = b"".join(entries).ljust(2 * SECTOR, b"\0")
    sectors[1:4] = [directory[:SECTOR], directory[SECTOR:], _table(mini_fat)]
    sectors[0] = _table(fat)
    start = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16)
    start += struct.pack("<HHHHH6xIIIIIIIII", 62, 3, 0xFFFE, 9, 6, 0, 1, 1, 0, LEAST, 3, 1, END, 0)
    start += struct.pack("<109I", 0, *[FREE] * 108)
    return start + b"".join(sectors)


def _put(sectors: list[bytes], fat: list[int], content: bytes) -> int:
    """The first sector of `content`."""
    first = len(sectors)
    count = max(1, -(-len(content) // SECTOR))
    padded = content.ljust(count * SECTOR, b"\0")
    sectors += [padded[at : at + SECTOR] for at in range(0, len(padded), SECTOR)]
    fat += _chain(first, count)
    return first


def _chain(first: int, count: int) -> list[int]:
    return [*range(first + 1, first + count), END]


def _table(numbers: list[int]) -> bytes:
    assert len(numbers) <= SECTOR // 4
    return struct.pack("<128I", *numbers, *[FREE] * (128 - len(numbers)))


def _entry(
    name: str, kind: int, first: int, size: int, left: int = NONE, right: int = NONE, child: int = NONE
) -> bytes:
    raw = (name + "\0").encode("utf-16-le")
    links = struct.pack("<BBIII", kind, 1, left, right, child)
    return (
        raw.ljust(64, b"\0")
        + struct.pack("<H", len(raw))
        + links
        + bytes(36)
        + struct.pack("<IQ", first, size)
    )
