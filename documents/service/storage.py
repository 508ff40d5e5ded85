"""Where the service keeps everything: the catalogue, uploaded files, and the indexes of all stores.

Stores are those of the service (`vs_...`) and of the command line, by name.
"""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from documents.search.store import Store, open_store
from documents.service.catalogue import Catalogue, Row
from documents.service.places import VECTOR_STORE, Places
from documents.service.sqlite_catalogue import SqliteCatalogue


class Storage(ABC):
    """Used by all threads of a process; `close` it."""

    catalogue: Catalogue

    @abstractmethod
    def close(self) -> None:
        """Nothing may be asked afterwards."""

    @abstractmethod
    def open(self, store: str, *, create: bool = False) -> AbstractContextManager[Store]:
        """A store, until the block ends. Raises UserError where there is none."""

    @abstractmethod
    def has(self, store: str) -> bool:
        """Whether there is an index of this store."""

    @abstractmethod
    def remove(self, store: str) -> None:
        """Remove the index of a store, if there is one."""

    @abstractmethod
    def stores(self) -> list[str]:
        """Those of which there is an index."""

    @abstractmethod
    def keep(self, row: Row, content: bytes) -> None:
        """An uploaded file, whole, and then its row of the catalogue; in a transaction of the catalogue."""

    @abstractmethod
    def keep_part(self, row: Row, content: bytes) -> None:
        """A part of an upload, and its row; in a transaction of the catalogue."""

    @abstractmethod
    def keep_joined(self, row: Row, parts: Sequence[str]) -> str:
        """A file made of these parts, and its row; in a transaction of the catalogue. Returns its MD5."""

    @abstractmethod
    def forget_parts(self, parts: Sequence[str]) -> None:
        """Remove the contents of parts whose rows are gone."""

    @abstractmethod
    def content(self, file_id: str, filename: str) -> Path | bytes:
        """Of an uploaded file: where it lies, or what it is."""

    @abstractmethod
    def readable(self, file_id: str, filename: str) -> AbstractContextManager[Path]:
        """A file with what was uploaded, until the block ends."""

    @abstractmethod
    def forget(self, file_id: str, filename: str) -> None:
        """Remove an uploaded file that is no more in the catalogue."""

    @abstractmethod
    def tidy(self, files: Collection[str], stores: Collection[str]) -> None:
        """Remove what is neither of these files and parts nor of these vector stores."""

    def vector_stores(self) -> list[str]:
        """Those of the service that have an index."""
        return [store for store in self.stores() if store.startswith(VECTOR_STORE)]


class DiskStorage(Storage):
    """Files and SQLite below the state directory, for one service."""

    def __init__(self, places: Places) -> None:
        """Open it; `places` are made already. Raises UserError."""
        self.places = places
        self.catalogue = SqliteCatalogue(places.catalogue)

    def close(self) -> None:
        """The catalogue."""
        self.catalogue.close()

    def open(self, store: str, *, create: bool = False) -> AbstractContextManager[Store]:
        """Its file."""
        return open_store(self.places.bound_store(store), create=create)

    def has(self, store: str) -> bool:
        """Whether its file is there."""
        return self.places.bound_store(store).is_file()

    def remove(self, store: str) -> None:
        """With what SQLite puts beside it."""
        self.places.remove_store(store)

    def stores(self) -> list[str]:
        """By name; those of the service first."""
        own = sorted(path.stem for path in self.places.stores.glob("*.db"))
        return [*own, *sorted(path.stem for path in self.places.root.parent.glob("*.db"))]

    def keep(self, row: Row, content: bytes) -> None:
        """On disk as a whole, then in the catalogue."""
        self._write(self.places.file(row["id"], row["filename"]), [content])
        self.catalogue.insert("files", row)

    def keep_part(self, row: Row, content: bytes) -> None:
        """Beside the files."""
        self._write(self.places.part(row["id"]), [content])
        self.catalogue.insert("parts", row)

    def keep_joined(self, row: Row, parts: Sequence[str]) -> str:
        """One part in memory at a time."""
        md5 = hashlib.md5(usedforsecurity=False)

        def contents() -> Iterator[bytes]:
            for part in parts:
                content = self.places.part(part).read_bytes()
                md5.update(content)
                yield content

        self._write(self.places.file(row["id"], row["filename"]), contents())
        self.catalogue.insert("files", row)
        return md5.hexdigest()

    def forget_parts(self, parts: Sequence[str]) -> None:
        """From the disk."""
        for part in parts:
            self.places.part(part).unlink(missing_ok=True)

    def _write(self, path: Path, contents: Iterable[bytes]) -> None:
        partial = path.with_suffix(".part")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            for content in contents:
                out.write(content)
            out.flush()
            os.fsync(out.fileno())
        partial.replace(path)

    def content(self, file_id: str, filename: str) -> Path:
        """Where it lies."""
        return self.places.file(file_id, filename)

    def readable(self, file_id: str, filename: str) -> AbstractContextManager[Path]:
        """The file itself."""
        return nullcontext(self.places.file(file_id, filename))

    def forget(self, file_id: str, filename: str) -> None:
        """From the disk."""
        self.places.file(file_id, filename).unlink(missing_ok=True)

    def tidy(self, files: Collection[str], stores: Collection[str]) -> None:
        """What a killed process has left."""
        for path in self.places.files.iterdir():
            if path.name.partition(".")[0] not in files:
                path.unlink(missing_ok=True)
        for store in self.vector_stores():
            if store not in stores:
                self.remove(store)
