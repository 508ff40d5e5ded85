"""What a store keeps of a document, as its tables give and take it."""

from dataclasses import dataclass

from documents.chunks import Chunk, Span
from documents.document import Document, Line


@dataclass(frozen=True)
class StoredDocument:
    """A document in a store, without its text."""

    source: str
    """What names it in the store: the path of the file."""
    name: str
    format: str
    title: str
    sha256: str
    chunk_size: int
    hidden_characters: int
    added: str
    """UTC, to the second."""
    pages: int
    """0 where its format has none."""
    chunks: int
    characters: int
    problems: int
    """Pages without text that can be read."""


@dataclass(frozen=True)
class StoredPage:
    """A page as it was read."""

    number: int | None
    text: str
    lines: tuple[Line, ...]
    problem: str


@dataclass(frozen=True)
class IndexedChunk:
    """A chunk with the terms by which it is found."""

    chunk: Chunk
    terms: list[str]


@dataclass(frozen=True)
class NewDocument:
    """A document to be put into a store."""

    source: str
    document: Document
    chunk_size: int
    added: str
    chunks: tuple[IndexedChunk, ...]


@dataclass(frozen=True)
class StoredPassage:
    """A chunk, and the document that it is of."""

    source: str
    name: str
    title: str
    text: str
    headings: tuple[str, ...]
    spans: tuple[Span, ...]
    problem: str
    """Of the page where it begins: why its text is doubtful."""
