"""Where the service keeps things on disk, all for this user alone."""

from dataclasses import dataclass
from pathlib import Path

from common.private_files import make_private_directory
from documents.read.formats import SUFFIXES

VECTOR_STORE = "vs_"
"""How ids of vector stores begin."""


@dataclass(frozen=True)
class Places:
    """The directory of one service."""

    root: Path

    @property
    def catalogue(self) -> Path:
        """The database of what there is."""
        return self.root / "catalogue.db"

    @property
    def files(self) -> Path:
        """The directory of uploaded files."""
        return self.root / "files"

    @property
    def stores(self) -> Path:
        """The directory of indexes."""
        return self.root / "stores"

    def make(self) -> None:
        """Create the directories that are missing. Raises OSError."""
        for directory in (self.root.parent, self.root, self.files, self.stores):
            make_private_directory(directory)

    def file(self, file_id: str, filename: str) -> Path:
        """The path of an uploaded file: its id, with the suffix that tells its format."""
        suffix = Path(filename).suffix.lower()
        return self.files / f"{file_id}{suffix if suffix in SUFFIXES else ''}"

    def part(self, part_id: str) -> Path:
        """The path of a part of an upload."""
        return self.files / part_id

    def store(self, store_id: str) -> Path:
        """The index of a vector store."""
        return self.stores / f"{store_id}.db"

    def bound_store(self, store: str) -> Path:
        """The index behind a binding: of a vector store's id, else of a store of the command line."""
        if store.startswith(VECTOR_STORE):
            return self.store(store)
        return self.root.parent / f"{store}.db"

    def remove_store(self, store_id: str) -> None:
        """Remove an index and the files that SQLite puts beside it."""
        for ending in ("", "-wal", "-shm"):
            self.store(store_id).with_name(f"{store_id}.db{ending}").unlink(missing_ok=True)
