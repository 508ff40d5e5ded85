"""The tables of a store in its SQLite file. Several processes may read and write one file."""

import random
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from common.errors import UserError
from documents.chunks import Chunk
from documents.search import sqlite_matching
from documents.search.schema import fact
from documents.search.stored import NewDocument, StoredDocument, StoredPage, StoredPassage
from documents.search.stored_json import found_by, json_text, stored_chunk, stored_page, stored_passage
from documents.sqlite_transaction import sqlite_transaction


class SqliteTables:
    """Those that `connection`, made by `schema.open_file`, sees."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection = connection
        self.name = name
        self.vectors = SqliteVectors(connection)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """All that is done in it, or nothing. Raises UserError, e.g. for a full disk or a locked store."""
        with self._transaction("IMMEDIATE"):
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """What is found is there until it is read."""
        with self._transaction("DEFERRED"):
            yield

    @contextmanager
    def _transaction(self, kind: Literal["IMMEDIATE", "DEFERRED"]) -> Iterator[None]:
        try:
            with sqlite_transaction(self._connection, kind):
                yield
        except sqlite3.Error as error:
            raise UserError(f"The store {self.name!r} cannot be used: {error}.") from error

    def fact(self, name: str) -> str:
        """What the file says of itself."""
        return fact(self._connection, name)

    def set_fact(self, name: str, value: str) -> None:
        """In place of what it said."""
        self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def forget_fact(self, name: str) -> None:
        """It says nothing any more."""
        self._connection.execute("DELETE FROM facts WHERE name = ?", (name,))

    def add(self, new: NewDocument) -> None:
        """Put a document in."""
        document = new.document
        row = (new.source, document.name, document.format, document.title, document.sha256, new.chunk_size)
        added = self._connection.execute(
            "INSERT INTO documents (source, name, format, title, sha256, chunk_size,"
            " hidden_characters, added) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, document.hidden_characters, new.added),
        ).lastrowid
        pages = [
            (added, place, page.number, page.text, json_text(page.lines), page.problem)
            for place, page in enumerate(document.pages)
        ]
        self._connection.executemany("INSERT INTO pages VALUES (?, ?, ?, ?, ?, ?)", pages)
        for one in new.chunks:
            chunk = one.chunk
            row_id = self._connection.execute(
                "INSERT INTO chunks (document, text, headings, spans) VALUES (?, ?, ?, ?)",
                (added, chunk.text, json_text(chunk.headings), json_text(chunk.spans)),
            ).lastrowid
            self._connection.execute(
                "INSERT INTO terms (rowid, text) VALUES (?, ?)", (row_id, " ".join(one.terms))
            )

    def remove(self, source: str) -> bool:
        """Take it out."""
        of_source = (
            "(SELECT chunks.id FROM chunks JOIN documents ON documents.id = document WHERE source = ?)"
        )
        self._connection.execute(f"DELETE FROM terms WHERE rowid IN {of_source}", (source,))  # noqa: S608
        return self._connection.execute("DELETE FROM documents WHERE source = ?", (source,)).rowcount > 0

    def documents(self) -> list[StoredDocument]:
        """All of them."""
        rows = self._connection.execute(
            "SELECT source, name, format, title, sha256, chunk_size, hidden_characters, added,"
            " (SELECT count(number) FROM pages WHERE document = documents.id),"
            " (SELECT count(*) FROM chunks WHERE document = documents.id),"
            " (SELECT coalesce(sum(length(text)), 0) FROM pages WHERE document = documents.id),"
            " (SELECT count(*) FROM pages WHERE document = documents.id AND problem != '' AND text = '')"
            " FROM documents ORDER BY source"
        )
        return [StoredDocument(*row) for row in rows]

    def pages(self, source: str) -> list[StoredPage]:
        """In order."""
        rows = self._connection.execute(
            "SELECT number, pages.text, lines, problem FROM pages JOIN documents ON id = document"
            " WHERE source = ? ORDER BY place",
            (source,),
        )
        return [stored_page(*row) for row in rows]

    def chunks(self, source: str) -> list[Chunk]:
        """In order."""
        rows = self._connection.execute(
            "SELECT text, headings, spans FROM chunks JOIN documents ON documents.id = document"
            " WHERE source = ? ORDER BY chunks.id",
            (source,),
        )
        return [stored_chunk(*row) for row in rows]

    def count_chunks(self) -> int:
        """How many there are."""
        (count,) = self._connection.execute("SELECT count(*) FROM chunks").fetchone()
        return int(count)

    def sample_texts(self, most: int, chance: random.Random) -> list[str]:
        """Some of them."""
        ids = [row[0] for row in self._connection.execute("SELECT id FROM chunks ORDER BY id")]
        chosen = chance.sample(ids, min(most, len(ids)))
        query = "SELECT text FROM chunks WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
        return [row[0] for row in self._connection.execute(query, (json_text(chosen),))]

    def texts(self) -> list[tuple[int, str]]:
        """All chunks."""
        rows = self._connection.execute("SELECT id, text, headings FROM chunks ORDER BY id")
        return [(chunk, found_by(text, headings)) for chunk, text, headings in rows]

    def replace_terms(self, made: Iterable[tuple[int, list[str]]]) -> None:
        """Those of all chunks."""
        self._connection.execute("DELETE FROM terms")
        rows = ((chunk, " ".join(terms)) for chunk, terms in made)
        self._connection.executemany("INSERT INTO terms (rowid, text) VALUES (?, ?)", rows)

    def best_chunks(
        self, terms: Sequence[str], limit: int, sources: Collection[str] | None
    ) -> list[tuple[int, float]]:
        """By FTS5."""
        return sqlite_matching.best_chunks(self._connection, terms, limit, sources)

    def relevance(self, terms: Sequence[str], chunks: Sequence[int]) -> dict[int, float]:
        """Of each chunk."""
        return sqlite_matching.relevance(self._connection, terms, chunks)

    def chunks_of_sources(self, sources: Collection[str]) -> set[int]:
        """Their ids."""
        return sqlite_matching.chunks_of_sources(self._connection, sources)

    def passages(self, chunks: Sequence[int]) -> dict[int, StoredPassage]:
        """With their documents."""
        rows = self._connection.execute(
            "SELECT chunks.id, source, name, title, text, headings, spans, (SELECT problem FROM pages"
            " WHERE pages.document = documents.id AND number = json_extract(spans, '$[0].page')) FROM chunks"
            " JOIN documents ON documents.id = document WHERE chunks.id IN (SELECT value FROM json_each(?))",
            (json_text(chunks),),
        )
        return {chunk: stored_passage(*row) for chunk, *row in rows}


class SqliteVectors:
    """Triggers of the file stamp each change."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def all(self) -> list[tuple[int, bytes]]:
        """By id."""
        return self._connection.execute("SELECT chunk, vector FROM vectors ORDER BY chunk").fetchall()

    def drop(self) -> None:
        """All of them."""
        self._connection.execute("DELETE FROM vectors")

    def put(self, rows: Sequence[tuple[int, bytes]]) -> None:
        """In place of others."""
        self._connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    def missing(self, most: int) -> list[tuple[int, str]]:
        """Chunks without one."""
        rows = self._connection.execute(
            "SELECT id, text, headings FROM chunks WHERE NOT EXISTS"
            " (SELECT 1 FROM vectors WHERE chunk = chunks.id) ORDER BY id LIMIT ?",
            (most,),
        )
        return [(chunk, found_by(text, headings)) for chunk, text, headings in rows]

    def text_of(self, chunk: int) -> str | None:
        """None where it has gone."""
        row = self._connection.execute("SELECT text, headings FROM chunks WHERE id = ?", (chunk,)).fetchone()
        return None if row is None else found_by(*row)

    def counts(self) -> tuple[int, int]:
        """Chunks with a vector, and all chunks."""
        query = "SELECT (SELECT count(*) FROM vectors), (SELECT count(*) FROM chunks)"
        return tuple(self._connection.execute(query).fetchone())

    def neighbours(self) -> None:
        """SQLite compares no vectors."""

    def arrange(self) -> None:
        """Nothing is to be done."""
