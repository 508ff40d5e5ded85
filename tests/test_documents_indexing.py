"""What the documents service does with indexes that it finds."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.database import StoreFailed
from common.errors import UserError
from documents.chunks import chunks_of
from documents.read.file import ReadLimits, read_file
from documents.search import store as store_module
from documents.search.store import Store, open_store
from documents.service.catalogue import Row
from documents.service.indexing import Indexer
from documents.service.places import Places
from documents.service.storage import DiskStorage
from tests.support.processes import PATIENCE_S, wait_for


def words(texts: Sequence[str]) -> list[list[str]]:
    """Terms that are plain words."""
    return [text.split() for text in texts]


def rules(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """Index by these from now on."""
    for module in ("documents.search.schema", "documents.search.store"):
        monkeypatch.setattr(f"{module}.terms_version", lambda: version)


def test_an_index_of_other_rules_is_made_anew_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "terms_of", words)
    places = Places(tmp_path / "state" / "service")
    places.make()
    storage = DiskStorage(places)
    for name in ("vs_old", "vs_broken"):
        storage.catalogue.insert("stores", store_row(name))
    (tmp_path / "규정.md").write_text("연차휴가는 15일이다.", encoding="utf-8")
    document = read_file(tmp_path / "규정.md")
    rules(monkeypatch, "words 1")
    with open_store(places.store("vs_old"), create=True) as store:
        store.add("file-1", document, chunks_of(document), 800)
    places.store("vs_broken").write_bytes(b"no database")
    rules(monkeypatch, "words 2")
    indexer = Indexer(storage, ReadLimits(), lambda: None)
    indexer.start()
    try:
        wait_for(lambda: is_found(places), PATIENCE_S, what="the index")
    finally:
        indexer.stop()
        storage.close()


def store_row(name: str) -> Row:
    row: Row = {"id": name, "owner": "key", "name": "", "description": "", "metadata": "{}"}
    return row | {"shared_with": "[]", "created_at": 1, "last_active_at": 1, "expires_days": None}


class Refusing(DiskStorage):
    """The database of one store takes nothing."""

    @contextmanager
    def open(self, store: str, *, create: bool = False) -> Iterator[Store]:
        if store == "vs_refused":
            raise StoreFailed("The database of the documents failed.")
        with super().open(store, create=create) as opened:
            yield opened


def test_a_file_that_the_database_refuses_keeps_no_other_waiting(tmp_path: Path) -> None:
    places = Places(tmp_path / "state" / "service")
    places.make()
    storage = Refusing(places)
    catalogue = storage.catalogue
    for store in ("vs_refused", "vs_good"):
        catalogue.insert("stores", store_row(store))
        file: Row = {"id": f"file-{store}", "owner": "key", "filename": "규정.md", "bytes": 1}
        file |= {"purpose": "assistants", "created_at": 1, "expires_at": None}
        storage.keep(file, "연차휴가는 15일이다.".encode())
        attached: Row = {"store": store, "file": f"file-{store}", "batch": None, "status": "in_progress"}
        attached |= {"error_code": "", "error_message": "", "attributes": "{}", "chunk_tokens": 800}
        catalogue.insert("attached", attached | {"usage_bytes": 0, "created_at": 1})
    indexer = Indexer(storage, ReadLimits(), lambda: None)
    indexer.start()
    try:
        done = "SELECT store FROM attached WHERE status = 'completed'"
        wait_for(lambda: bool(catalogue.rows(done)), PATIENCE_S, what="the other file")
        (left,) = catalogue.rows("SELECT store FROM attached WHERE status = 'in_progress'")
    finally:
        indexer.stop()
        storage.close()
    assert left["store"] == "vs_refused"


def is_found(places: Places) -> bool:
    with open_store(places.store("vs_old")) as store:
        try:
            return store.search("연차휴가는")[0].source == "file-1"
        except UserError:
            return False
