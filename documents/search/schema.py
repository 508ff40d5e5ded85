"""The SQLite file of a store: its tables, and whether this kodolly may use it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from common.errors import UserError
from common.private_files import make_private_file
from documents.search.tables import FORMAT, TERMS, VECTORS_STAMP
from documents.search.terms import terms_version
from documents.sqlite_transaction import sqlite_transaction

WAIT_S = 60.0
"""Longest wait, in seconds, for another process that is writing."""

# A term is whatever stands between spaces. FTS5's own rules (https://sqlite.org/fts5.html#unicode61_tokenizer)
# would drop signs, so that `c++` were `c`.
_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE documents (
    id INTEGER PRIMARY KEY, source TEXT NOT NULL UNIQUE, name TEXT NOT NULL, format TEXT NOT NULL,
    title TEXT NOT NULL, sha256 TEXT NOT NULL, chunk_size INTEGER NOT NULL,
    hidden_characters INTEGER NOT NULL, added TEXT NOT NULL
) STRICT;
CREATE TABLE pages (
    document INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE, place INTEGER NOT NULL, number INTEGER,
    text TEXT NOT NULL, lines TEXT NOT NULL, problem TEXT NOT NULL, PRIMARY KEY (document, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY, document INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    text TEXT NOT NULL, headings TEXT NOT NULL, spans TEXT NOT NULL
) STRICT;
CREATE INDEX chunks_of_document ON chunks (document);
CREATE VIRTUAL TABLE terms USING fts5 (
    text, tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* P* S* C*'"
);
"""
_NEW_STAMP = f"INSERT OR REPLACE INTO facts VALUES ('{VECTORS_STAMP}', hex(randomblob(8)));"  # noqa: S608
_VECTORS = (
    "CREATE TABLE IF NOT EXISTS vectors ("
    "chunk INTEGER PRIMARY KEY REFERENCES chunks ON DELETE CASCADE, vector BLOB NOT NULL) STRICT",
    f"CREATE TRIGGER IF NOT EXISTS vector_added AFTER INSERT ON vectors BEGIN {_NEW_STAMP} END",
    f"CREATE TRIGGER IF NOT EXISTS vector_removed AFTER DELETE ON vectors BEGIN {_NEW_STAMP} END",
)
"""Beside any store of this format: a kodolly that knows nothing of them keeps them right all the same."""


def open_file(path: Path, *, create: bool) -> sqlite3.Connection:
    """A connection in which each change is a transaction that its writer begins and ends.

    Raises UserError for a file that is not there and may not be made, cannot be opened, or is no store.
    """
    if not path.exists() and not create:
        raise UserError(
            f"There is no store {path.stem!r}.", hint="`kodolly documents add FILES --store NAME` makes one."
        )
    try:
        make_private_file(path)
        connection = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise UserError(f"The store {path} cannot be opened: {error}.") from error
    try:
        _prepare(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise UserError(f"{path} is no store of documents: {error}.") from error
    except UserError:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    with sqlite_transaction(connection):
        with closing(connection.execute("SELECT count(*) FROM sqlite_schema")) as found:
            (tables,) = found.fetchone()
        if not tables:
            for statement in filter(str.strip, _SCHEMA.split(";\n")):
                connection.execute(statement)
            facts = [("format", FORMAT), (TERMS, terms_version())]
            connection.executemany("INSERT INTO facts VALUES (?, ?)", facts)
        if fact(connection, "format") == FORMAT:
            for statement in _VECTORS:
                connection.execute(statement)
    if (found_format := fact(connection, "format")) != FORMAT:
        raise UserError(
            f"The store {path} has format {found_format}, which this kodolly does not know.",
            hint="Use the kodolly that made it, or add the documents to a new store.",
        )
    connection.execute("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, 'terms', 'row')")


def fact(connection: sqlite3.Connection, name: str) -> str:
    """What the file says of itself under this name; "" where it says nothing."""
    row = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return str(row[0]) if row else ""
