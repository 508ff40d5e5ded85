"""From what a reading process gave to a document: lines joined, text cleaned, spans counted."""

from dataclasses import dataclass
from pathlib import PurePath

from common.normal_form import is_nfc, nfc
from documents.document import BLOCK_GAP, Block, Document, Joint, Line, Page
from documents.korean import joints
from documents.read.clean_text import clean_code, clean_line
from documents.read.raw import Box, RawBlock, RawDocument, RawPage

_ENDS = frozenset(".?!。:;…")


@dataclass(frozen=True)
class _AssembledText:
    """A block's text, its printed lines with their spans in it, and what was hidden in it."""

    text: str
    lines: tuple[Line, ...]
    hidden: int


def assemble(raw: RawDocument, name: str, sha256: str) -> Document:
    """The document; `name` is the file's."""
    pages: list[Page] = []
    last = ""
    for page in raw.pages:
        pages.append(_page(page, last))
        if page.number is not None and page.blocks:
            last = pages[-1].text if page.blocks[-1].kind == "paragraph" else ""
    headings = (p.text[b.start : b.end] for p in pages for b in p.blocks if b.kind == "heading")
    title = clean_line(raw.title)[0].replace("\n", " ") or next(headings, "") or PurePath(name).stem
    return Document(nfc(name), raw.format, sha256, title, tuple(pages))


def _page(raw: RawPage, before: str) -> Page:
    """`before`: the text of the page before, where it ends with a paragraph."""
    text = ""
    blocks: list[Block] = []
    lines: list[Line] = []
    hidden = raw.hidden_characters
    for number, block in enumerate(raw.blocks):
        made = _text(block)
        hidden += made.hidden
        if not made.text:
            continue
        start = len(text) + (len(BLOCK_GAP) if text else 0)
        text += (BLOCK_GAP if text else "") + made.text
        goes_on = _goes_on(before, made.text) if number == 0 and block.kind == "paragraph" else None
        blocks.append(Block(block.kind, start, len(text), block.level, goes_on))
        lines += [Line(line.start + start, line.end + start, line.box) for line in made.lines]
    return Page(raw.number, text, tuple(blocks), tuple(lines), hidden, raw.problem, raw.confidence)


def _goes_on(before: str, text: str) -> Joint | None:
    """A sentence that has not ended goes on after the page's end."""
    if not before or before[-1] in _ENDS:
        return None
    return joints([before[-200:], text[:200]])[0]


def _text(raw: RawBlock) -> _AssembledText:
    clean = clean_code if raw.kind == "code" else clean_line
    cleaned = [clean(line.text) for line in raw.lines]
    hidden = sum(count for _, count in cleaned)
    parts: list[tuple[str, Box | None]] = [
        (text, line.box) for (text, _), line in zip(cleaned, raw.lines, strict=True) if text.strip()
    ]
    if not parts:
        return _AssembledText("", (), hidden)
    text = ""
    spans: list[Line] = []
    for (part, box), joint in zip(parts, [*joints([part for part, _ in parts]), ""], strict=True):
        if box is not None:
            spans.append(Line(len(text), len(text) + len(part), box))
        text += part + joint
    if not is_nfc(text):  # a line began with a mark of the character before it
        return _AssembledText(nfc(text), (), hidden)
    return _AssembledText(text, tuple(spans), hidden)
