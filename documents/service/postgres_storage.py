"""Everything in a PostgreSQL database: several services, on several hosts, share it."""

import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from common.errors import NotFound, UserError
from documents.postgres.database import PostgresDatabase
from documents.search.postgres_tables import PostgresTables, index_of
from documents.search.store import Store
from documents.service.catalogue import Row
from documents.service.postgres_catalogue import PostgresCatalogue
from documents.service.storage import Storage


class PostgresStorage(Storage):
    """Nothing of it lies on this machine's disk, but for the file that is being read."""

    def __init__(self, url: str) -> None:
        """Open it, and make or migrate its tables. Raises UserError."""
        self.database = PostgresDatabase(url)
        self.catalogue = PostgresCatalogue(self.database)

    def close(self) -> None:
        """All connections."""
        self.database.close()

    @contextmanager
    def open(self, store: str, *, create: bool = False) -> Iterator[Store]:
        """A connection for the block. Raises StoreFailed, too."""
        with self.database.session() as session:
            index_id = index_of(session, store, create=create)
            if index_id is None:
                raise UserError(
                    f"There is no store {store!r}.",
                    hint="`kodolly documents add FILES --store NAME` makes one.",
                )
            yield Store(PostgresTables(session, index_id, store))

    def has(self, store: str) -> bool:
        """Whether it has a row."""
        with self.database.session() as session:
            return index_of(session, store, create=False) is not None

    def remove(self, store: str) -> None:
        """With all that refers to it."""
        with self.database.session() as session:
            session.change("DELETE FROM indexes WHERE name = ?", [store])

    def stores(self) -> list[str]:
        """By name."""
        with self.database.session() as session:
            return [row["name"] for row in session.rows("SELECT name FROM indexes ORDER BY name")]

    def keep(self, row: Row, content: bytes) -> None:
        """In the transaction of the catalogue."""
        self.catalogue.insert("files", row)
        self.catalogue.change("INSERT INTO contents VALUES (?, ?)", [row["id"], content])

    def keep_part(self, row: Row, content: bytes) -> None:
        """In the transaction of the catalogue."""
        self.catalogue.insert("parts", row)
        self.catalogue.change("INSERT INTO part_contents VALUES (?, ?)", [row["id"], content])

    def keep_joined(self, row: Row, parts: Sequence[str]) -> str:
        """The server joins them."""
        self.catalogue.insert("files", row)
        self.catalogue.change("INSERT INTO contents VALUES (?, '')", [row["id"]])
        for part in parts:
            self.catalogue.change(
                "UPDATE contents SET content = contents.content || p.content FROM part_contents p"
                " WHERE file = ? AND part = ?",
                [row["id"], part],
            )
        (made,) = self.catalogue.rows("SELECT md5(content) AS md5 FROM contents WHERE file = ?", [row["id"]])
        return str(made["md5"])

    def forget_parts(self, parts: Sequence[str]) -> None:
        """They went with their rows."""

    def content(self, file_id: str, filename: str) -> bytes:
        """Raises NotFound for one that was deleted a moment ago."""
        with self.database.session() as session:
            row = session.row("SELECT content FROM contents WHERE file = ?", [file_id])
        if row is None:
            raise NotFound(f"There is no file {file_id!r}.", param="file_id")
        content: bytes = row["content"]
        return content

    @contextmanager
    def readable(self, file_id: str, filename: str) -> Iterator[Path]:
        """A copy in the directory of temporary files, readable for this user alone."""
        content = self.content(file_id, filename)
        with tempfile.TemporaryDirectory(prefix="kodolly-documents-") as directory:
            path = Path(directory) / f"file{Path(filename).suffix.lower()}"
            path.write_bytes(content)
            yield path

    def forget(self, file_id: str, filename: str) -> None:
        """It went with its row."""

    def tidy(self, files: Collection[str], stores: Collection[str]) -> None:
        """Indexes whose vector store was deleted while a file was being put in."""
        for store in self.vector_stores():
            if store not in stores:
                self.remove(store)
