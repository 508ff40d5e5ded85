"""Markdown: its blocks; what marks words within a paragraph stays as it is.

Headings, fences and tables as in https://spec.commonmark.org/0.31.2/ and https://github.github.com/gfm/.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from documents.read.decode import decode_text
from documents.read.raw import RawBlock, RawDocument, RawPage, block

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_TABLE_RULE = re.compile(r" {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_FRONT_MATTER = re.compile(r"---\n.*?\n(?:---|\.\.\.)(?:\n|$)", re.DOTALL)


def read_markdown(path: Path) -> RawDocument:
    """Raises Unreadable and OSError."""
    text = decode_text(path.read_bytes())
    return RawDocument("markdown", (RawPage(None, markdown_blocks(text)),))


def markdown_blocks(text: str) -> tuple[RawBlock, ...]:
    """The blocks of `text`; YAML front matter is left out."""
    front = _FRONT_MATTER.match(text)
    return tuple(_blocks(text[front.end() if front else 0 :].split("\n")))


def _blocks(lines: list[str]) -> Iterator[RawBlock]:
    held: list[str] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        fence, heading = _FENCE.match(line), _ATX.match(line)
        underline = _UNDERLINE.match(line) if held else None
        if fence:
            yield from _paragraph(held)
            held = []
            end = _end_of_code(lines, at, fence[1])
            yield block("code", "\n".join(lines[at - 1 : end]))
            at = end
        elif heading:
            yield from _paragraph(held)
            held = []
            if heading[2]:
                yield block("heading", heading[2], len(heading[1]))
        elif underline and not _is_table(held, line):
            yield block("heading", " ".join(held), 1 if underline[1][0] == "=" else 2)
            held = []
        elif line.strip():
            held.append(line)
        else:
            yield from _paragraph(held)
            held = []
    yield from _paragraph(held)


def _end_of_code(lines: list[str], first: int, mark: str) -> int:
    """The line after the one that closes the fence; the end where none does."""
    for at in range(first, len(lines)):
        closing = lines[at].strip()
        if len(closing) >= len(mark) and not closing.strip(mark[0]):
            return at + 1
    return len(lines)


def _paragraph(held: list[str]) -> Iterator[RawBlock]:
    if not held:
        return
    is_table = len(held) > 1 and _is_table(held[:1], held[1])
    yield block("table" if is_table else "paragraph", "\n".join(held))


def _is_table(head: list[str], rule: str) -> bool:
    return len(head) == 1 and "|" in head[0] and bool(_TABLE_RULE.match(rule))
