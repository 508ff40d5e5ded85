"""All documents from one storage into another, for backup and restore."""

from pathlib import Path

from documents.service.places import VECTOR_STORE
from documents.service.storage import Storage

TABLES = ("files", "stores", "batches", "attached", "bindings")
"""Of the catalogue, each after those that its rows refer to."""


def copy_catalogue(source: Storage, target: Storage) -> None:
    """All rows, with the files that were uploaded, into an empty catalogue. Raises StoreFailed."""
    with target.catalogue.transaction():
        for table in TABLES:
            for row in source.catalogue.rows(f"SELECT * FROM {table} ORDER BY place"):  # noqa: S608
                del row["place"]  # it is counted anew, in the same order
                if table != "files":
                    target.catalogue.insert(table, row)
                    continue
                content = source.content(row["id"], row["filename"])
                target.keep(row, content.read_bytes() if isinstance(content, Path) else content)


def copy_stores(source: Storage, target: Storage, mark: str = "") -> None:
    """Stores of the command line, in the target under their names behind `mark`; they are indexed anew.
    Raises UserError and StoreFailed."""
    for name in source.stores():
        if not name.startswith(VECTOR_STORE):
            with source.open(name) as store, target.open(mark + name, create=True) as copy:
                store.copy_to(copy)
