"""The tables of a store in a PostgreSQL database, which holds those of all stores."""

import random
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from documents.chunks import Chunk
from documents.postgres.database import Session
from documents.search.postgres_matching import Matching
from documents.search.postgres_vectors import PostgresVectors
from documents.search.stored import NewDocument, StoredDocument, StoredPage, StoredPassage
from documents.search.stored_json import found_by, json_text, stored_chunk, stored_page, stored_passage
from documents.search.tables import FORMAT, TERMS
from documents.search.terms import terms_version

_SET_FACT = (
    "INSERT INTO facts VALUES (?, ?, ?) ON CONFLICT (index_id, name) DO UPDATE SET value = excluded.value"
)

_COUNT_TERMS = """
INSERT INTO frequencies AS f (index_id, term, chunks)
SELECT ?, lexeme, ? * count(*) FROM chunks, unnest(terms) WHERE {where} GROUP BY lexeme
ON CONFLICT (index_id, term) DO UPDATE SET chunks = f.chunks + excluded.chunks
"""
_COUNT_CHUNKS = """
UPDATE indexes SET chunks = indexes.chunks + ? * those.chunks, terms = indexes.terms + ? * those.terms
FROM (SELECT count(*) AS chunks, coalesce(sum(length), 0) AS terms FROM chunks WHERE {where}) AS those
WHERE id = ?
"""
_FILE_TERMS = "SELECT gin_clean_pending_list('chunks_by_terms'::regclass)"
"""New terms go to a list of up to 4 MB, which each term of a question reads through until they are filed."""


class PostgresTables:
    """Those of the index `index_id`, as `session` sees them."""

    def __init__(self, session: Session, index_id: int, name: str) -> None:
        self._session, self._id = session, index_id
        self.name = name
        self._matching = Matching(session, index_id)
        self.vectors = PostgresVectors(self, session, index_id)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """All that is done in it, or nothing; other processes wait. Raises StoreFailed."""
        with self._session.transaction():
            self._session.rows("SELECT 1 FROM indexes WHERE id = ? FOR UPDATE", [self._id])
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One snapshot for all that is found."""
        with self._session.transaction("ISOLATION LEVEL REPEATABLE READ, READ ONLY"):
            yield

    def fact(self, name: str) -> str:
        """What the store says of itself."""
        row = self._session.row("SELECT value FROM facts WHERE index_id = ? AND name = ?", [self._id, name])
        return str(row["value"]) if row else ""

    def set_fact(self, name: str, value: str) -> None:
        """In place of what it said."""
        self._session.change(_SET_FACT, [self._id, name, value])

    def forget_fact(self, name: str) -> None:
        """It says nothing any more."""
        self._session.change("DELETE FROM facts WHERE index_id = ? AND name = ?", [self._id, name])

    def add(self, new: NewDocument) -> None:
        """Put a document in."""
        document = new.document
        row = (new.source, document.name, document.format, document.title, document.sha256, new.chunk_size)
        added = self._session.row(
            "INSERT INTO documents (index_id, source, name, format, title, sha256, chunk_size,"
            " hidden_characters, added) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
            (self._id, *row, document.hidden_characters, new.added),
        )["id"]
        pages = [
            (added, place, page.number, page.text, json_text(page.lines), page.problem)
            for place, page in enumerate(document.pages)
        ]
        self._session.change_many("INSERT INTO pages VALUES (?, ?, ?, ?, ?, ?)", pages)
        chunks = [
            (
                *(self._id, added, one.chunk.text, json_text(one.chunk.headings), json_text(one.chunk.spans)),
                *(len(one.terms), self._matching.tsvector(one.terms)),
            )
            for one in new.chunks
        ]
        self._session.change_many(
            "INSERT INTO chunks (index_id, document, text, headings, spans, length, terms)"
            " VALUES (?, ?, ?, ?, ?, ?, ?::text::tsvector)",
            chunks,
        )
        self._count_terms("document = ?", added, 1)
        self._session.rows(_FILE_TERMS)

    def remove(self, source: str) -> bool:
        """Take it out."""
        row = self._session.row(
            "SELECT id, EXISTS (SELECT 1 FROM vectors JOIN chunks ON chunk = chunks.id"
            " WHERE document = documents.id) AS embedded FROM documents WHERE index_id = ? AND source = ?",
            [self._id, source],
        )
        if row is None:
            return False
        self._count_terms("document = ?", row["id"], -1)
        self._session.change("DELETE FROM documents WHERE id = ?", [row["id"]])
        if row["embedded"]:
            self.vectors.stamp()
        return True

    def _count_terms(self, where: str, value: int, sign: int) -> None:
        """The terms of these chunks come to the store, or leave it (`sign` -1)."""
        self._session.change(_COUNT_TERMS.format(where=where), [self._id, sign, value])
        if sign < 0:
            self._session.change("DELETE FROM frequencies WHERE index_id = ? AND chunks <= 0", [self._id])
        self._session.change(_COUNT_CHUNKS.format(where=where), [sign, sign, value, self._id])

    def documents(self) -> list[StoredDocument]:
        """All of them."""
        rows = self._session.rows(
            "SELECT source, name, format, title, sha256, chunk_size, hidden_characters, added,"
            " (SELECT count(number) FROM pages WHERE document = documents.id) AS pages,"
            " (SELECT count(*) FROM chunks WHERE document = documents.id) AS chunks,"
            " (SELECT coalesce(sum(length(text)), 0) FROM pages WHERE document = documents.id) AS characters,"
            " (SELECT count(*) FROM pages WHERE document = documents.id AND problem != '' AND text = '')"
            " AS problems"
            ' FROM documents WHERE index_id = ? ORDER BY source COLLATE "C"',
            [self._id],
        )
        return [StoredDocument(*row) for row in rows]

    def pages(self, source: str) -> list[StoredPage]:
        """In order."""
        rows = self._session.rows(
            "SELECT number, pages.text, lines, problem FROM pages JOIN documents ON id = document"
            " WHERE index_id = ? AND source = ? ORDER BY place",
            [self._id, source],
        )
        return [stored_page(*row) for row in rows]

    def chunks(self, source: str) -> list[Chunk]:
        """In order."""
        rows = self._session.rows(
            "SELECT text, headings, spans FROM chunks JOIN documents ON documents.id = document"
            " WHERE documents.index_id = ? AND source = ? ORDER BY chunks.id",
            [self._id, source],
        )
        return [stored_chunk(*row) for row in rows]

    def count_chunks(self) -> int:
        """How many there are."""
        return int(self._session.row("SELECT chunks FROM indexes WHERE id = ?", [self._id])["chunks"])

    def sample_texts(self, most: int, chance: random.Random) -> list[str]:
        """Some of them."""
        rows = self._session.rows("SELECT id FROM chunks WHERE index_id = ? ORDER BY id", [self._id])
        chosen = chance.sample([int(row["id"]) for row in rows], min(most, len(rows)))
        texts = self._session.rows(
            "SELECT text FROM chunks WHERE id = ANY(?::bigint[]) ORDER BY id", [chosen]
        )
        return [row["text"] for row in texts]

    def texts(self) -> list[tuple[int, str]]:
        """All chunks."""
        rows = self._session.rows(
            "SELECT id, text, headings FROM chunks WHERE index_id = ? ORDER BY id", [self._id]
        )
        return [(chunk, found_by(text, headings)) for chunk, text, headings in rows]

    def replace_terms(self, made: Iterable[tuple[int, list[str]]]) -> None:
        """Those of all chunks."""
        self._session.change("DELETE FROM frequencies WHERE index_id = ?", [self._id])
        self._session.change("UPDATE indexes SET chunks = 0, terms = 0 WHERE id = ?", [self._id])
        rows = [(len(terms), self._matching.tsvector(terms), chunk) for chunk, terms in made]
        self._session.change_many(
            "UPDATE chunks SET length = ?, terms = ?::text::tsvector WHERE id = ?", rows
        )
        self._count_terms("index_id = ?", self._id, 1)
        self._session.rows(_FILE_TERMS)

    def best_chunks(
        self, terms: Sequence[str], limit: int, sources: Collection[str] | None
    ) -> list[tuple[int, float]]:
        """By BM25."""
        return self._matching.best_chunks(terms, limit, sources)

    def relevance(self, terms: Sequence[str], chunks: Sequence[int]) -> dict[int, float]:
        """Of each chunk."""
        return self._matching.relevance(terms, chunks)

    def chunks_of_sources(self, sources: Collection[str]) -> set[int]:
        """Their ids."""
        rows = self._session.rows(
            "SELECT chunks.id FROM chunks JOIN documents ON documents.id = document"
            " WHERE documents.index_id = ? AND source = ANY(?::text[])",
            [self._id, list(sources)],
        )
        return {int(row["id"]) for row in rows}

    def passages(self, chunks: Sequence[int]) -> dict[int, StoredPassage]:
        """With their documents."""
        rows = self._session.rows(
            "SELECT chunks.id, source, name, title, text, headings, spans, (SELECT problem FROM pages"
            " WHERE pages.document = documents.id AND number = (spans::json -> 0 ->> 'page')::integer)"
            " FROM chunks JOIN documents ON documents.id = document WHERE chunks.id = ANY(?::bigint[])",
            [list(chunks)],
        )
        return {chunk: stored_passage(*row) for chunk, *row in rows}


def index_of(session: Session, name: str, *, create: bool) -> int | None:
    """The id of the store of this name; None where there is none and none may be made."""
    known = session.row("SELECT id FROM indexes WHERE name = ?", [name])
    if known is not None or not create:
        return None if known is None else int(known["id"])
    with session.transaction():
        made = session.row(
            "INSERT INTO indexes (name) VALUES (?) ON CONFLICT DO NOTHING RETURNING id", [name]
        )
        if made is not None:
            for fact in (("format", FORMAT), (TERMS, terms_version())):
                session.change(_SET_FACT, [made["id"], *fact])
    return index_of(session, name, create=False)
