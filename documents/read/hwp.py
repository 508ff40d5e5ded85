"""HWP 5, HWP 3 and HWPX, the formats of Hangul Word Processor, through unhwp, which gives Markdown.

The format's description: https://www.hancom.com/support/downloadCenter/hwpOwpml (HWPX is KS X 6101).
"""

import re
from dataclasses import replace
from pathlib import Path

import unhwp

from documents.read.hwp5_shown import shown_hwp5
from documents.read.hwpx_hidden import without_hidden_text
from documents.read.markdown import markdown_blocks
from documents.read.raw import RawBlock, RawDocument, RawLine, RawPage, Unreadable
from documents.read.zip_size import check_unpacked_size

_MARKS = r"\$(?:(?!\*\*)[^$\n])+\$|\\([\\`*_{}\[\]()#+.!~<>|-])|\*+|</?su[bp]>"
"""Equations, which stay; signs of the text behind a backslash; marks of bold, italic, raised and lowered
letters."""
_MARK = re.compile(_MARKS)
_MARK_IN_TABLE = re.compile(_MARKS.replace("|-]", "-]"))
"""There `\\|` stays, as in tables of other formats."""
_PICTURE = re.compile(r"!\[[^\]]*\]\([^)]*\)")


def read_hwp(path: Path) -> RawDocument:
    """Raises Unreadable and OSError."""
    is_zip = path.suffix.lower() == ".hwpx"
    if is_zip:
        check_unpacked_size(path)
        content, hidden = without_hidden_text(path)
    else:
        content, hidden = shown_hwp5(path.read_bytes()), 0  # HWP's own colours are not read
    try:
        with unhwp.parse_bytes(content) as result:
            text = result.markdown
    except unhwp.UnhwpError as error:
        if error.kind in (unhwp.ErrorKind.ENCRYPTED, unhwp.ErrorKind.DISTRIBUTION_RESTRICTED):
            raise Unreadable(
                "it is protected with a password or against copying", "Save it without protection."
            ) from error
        raise Unreadable("it is damaged or no HWP file") from error
    blocks = tuple(map(_plain, markdown_blocks(_PICTURE.sub("", text))))
    return RawDocument("hwpx" if is_zip else "hwp", (RawPage(None, blocks, hidden),))


def _plain(part: RawBlock) -> RawBlock:
    """Without HTML's mark for a line within a cell, the marks of bold letters and their like, and the
    backslashes that keep signs of the text from being Markdown's."""
    signs, line_end = (_MARK_IN_TABLE, " ") if part.kind == "table" else (_MARK, "\n")
    texts = [signs.sub(_unmarked, one.text.replace("<br>", line_end)) for one in part.lines]
    return replace(part, lines=tuple(map(RawLine, texts)))


def _unmarked(found: re.Match[str]) -> str:
    return found[0] if found[0].startswith("$") else found[1] or ""
