"""Text of an HWPX file that nobody can see, taken out before it is read: white where nothing is behind it, or
too small.

Colours and sizes stand in the head (`charPr`), runs of the sections name them (KS X 6101).
"""

import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lxml import etree

from documents.read.hwpx_shown import WRITTEN, show, written
from documents.read.raw import Unreadable

SMALLEST = 200
"""The smallest font that can be read, in hundredths of a point."""
WHITE = 0xFA
_PART = re.compile(r"contents/[^/]+\.xml", re.IGNORECASE)
_SECTION = re.compile(r"contents/section\d+\.xml", re.IGNORECASE)
_COLOUR = re.compile(r"#?(?:[0-9a-f]{2})?([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})", re.IGNORECASE)


@dataclass(frozen=True)
class _Looks:
    """What the head defines, by id."""

    small: frozenset[str]
    white: frozenset[str]
    filled: frozenset[str]
    """Frames (`borderFill`) with a colour or picture inside."""
    filled_paragraphs: frozenset[str]


def without_hidden_text(path: Path) -> tuple[bytes, int]:
    """The file as it is to be read, and how many characters of it were hidden. Raises Unreadable and
    OSError."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = {info: archive.read(info) for info in archive.infolist()}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError) as error:
        raise Unreadable("it is damaged") from error
    if any("manifest" in info.filename and b"encryption" in part for info, part in parts.items()):
        return path.read_bytes(), 0  # its reader says that it is protected
    roots = {info: _root(part) for info, part in parts.items() if _PART.fullmatch(info.filename)}
    looks = _looks(roots)
    hidden = 0
    for info, root in roots.items():
        hidden += _emptied(root, looks)
        if _SECTION.fullmatch(info.filename):
            show(root)
            parts[info] = etree.tostring(root, xml_declaration=True, encoding="UTF-8", standalone=True)
    return _packed(parts), hidden


def _root(part: bytes) -> Any:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        return etree.fromstring(part, parser)
    except etree.XMLSyntaxError as error:
        raise Unreadable("it is damaged") from error


def _looks(roots: Mapping[zipfile.ZipInfo, Any]) -> _Looks:
    small, white, filled, paragraphs = set(), set(), set(), set()
    for root in roots.values():
        for one in _all(root, "charPr"):
            height = one.get("height", "")
            if height.isdecimal() and int(height) < SMALLEST:
                small.add(one.get("id"))
            elif _is_white(one.get("textColor")) and _is_clear(one.get("shadeColor")):
                white.add(one.get("id"))
        filled |= {one.get("id") for one in _all(root, "borderFill") if _has_fill(one)}
    for root in roots.values():
        for one in _all(root, "paraPr"):
            if any(border.get("borderFillIDRef") in filled for border in _all(one, "border")):
                paragraphs.add(one.get("id"))
    # One without an id would be that of everything that names none.
    return _Looks(*(frozenset(one for one in ids if one) for ids in (small, white, filled, paragraphs)))


def _emptied(root: Any, looks: _Looks) -> int:
    """Take the hidden text out of a section; how many characters it was."""
    page_filled = any(one.get("borderFillIDRef") in looks.filled for one in _all(root, "pageBorderFill"))
    coloured = _coloured(root, looks)
    hidden = 0
    for run in _all(root, "run"):
        look = run.get("charPrIDRef")
        on_colour = page_filled or any(around in coloured for around in run.iterancestors())
        seen = look not in looks.small and (look not in looks.white or on_colour)
        for element in list(run.iterchildren(*(f"{{*}}{name}" for name in WRITTEN))):
            if not seen or (_is_white(element.get("textColor")) and not on_colour):
                hidden += len("".join(written(element).split()))
                run.remove(element)
        if seen:
            continue
        for text in run.iterchildren("{*}t"):
            hidden += len("".join("".join(text.itertext()).split()))
            text.text = None
            del text[:]
    return hidden


def _coloured(root: Any, looks: _Looks) -> set[Any]:
    """The paragraphs, cells, tables and shapes of a section on which white text may be seen."""
    found = {brush.getparent() for brush in _all(root, "fillBrush") if _has_fill(brush)}
    for element in root.iter():
        filled = element.get("borderFillIDRef") in looks.filled
        if filled or element.get("paraPrIDRef") in looks.filled_paragraphs:
            found.add(element)
        if filled and etree.QName(element).localname == "cellzone":
            found.update(element.iterancestors("{*}tbl"))
    return found


def _has_fill(element: Any) -> bool:
    """Whether what it describes is filled with more than white."""
    if any(True for name in ("gradation", "imgBrush") for _ in _all(element, name)):
        return True
    return any(not _is_clear(one.get("faceColor")) for one in _all(element, "winBrush"))


def _is_white(colour: str | None) -> bool:
    found = _COLOUR.fullmatch(colour or "")
    return found is not None and all(int(part, 16) >= WHITE for part in found.groups())


def _is_clear(colour: str | None) -> bool:
    """No colour, or white."""
    return colour is None or colour.lower() in ("", "none") or _is_white(colour)


def _all(root: Any, name: str) -> Iterator[Any]:
    return root.iter(f"{{*}}{name}")  # type: ignore[no-any-return]


def _packed(parts: Mapping[zipfile.ZipInfo, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for info, part in parts.items():
            archive.writestr(info.filename, part)
    return packed.getvalue()
