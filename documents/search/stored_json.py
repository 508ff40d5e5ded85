"""Headings, spans and lines in the tables of a store: JSON."""

import msgspec

from documents.chunks import Chunk, Span
from documents.document import Line
from documents.search.stored import StoredPage, StoredPassage
from documents.search.terms import with_headings


def found_by(text: str, headings: str) -> str:
    """What a chunk of this text is found by; `headings` as they are stored."""
    return with_headings(text, msgspec.json.decode(headings))


def json_text(value: object) -> str:
    """As it is stored."""
    return msgspec.json.encode(value).decode()


def stored_page(number: int | None, text: str, lines: str, problem: str) -> StoredPage:
    """Of a row."""
    return StoredPage(number, text, msgspec.json.decode(lines, type=tuple[Line, ...]), problem)


def stored_chunk(text: str, headings: str, spans: str) -> Chunk:
    """Of a row."""
    places = msgspec.json.decode(spans, type=tuple[Span, ...])
    return Chunk(text, places, msgspec.json.decode(headings, type=tuple[str, ...]))


def stored_passage(
    source: str, name: str, title: str, text: str, headings: str, spans: str, problem: str | None
) -> StoredPassage:
    """Of a row."""
    above = msgspec.json.decode(headings, type=tuple[str, ...])
    places = msgspec.json.decode(spans, type=tuple[Span, ...])
    return StoredPassage(source, name, title, text, above, places, problem or "")
