"""What the documents service does with indexes that it finds."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from common.errors import UserError
from documents.chunks import chunks_of
from documents.read.file import ReadLimits, read_file
from documents.search import store as store_module
from documents.search.store import open_store
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
        row: Row = {"id": name, "owner": "key", "name": "", "description": "", "metadata": "{}"}
        row |= {"shared_with": "[]", "created_at": 1, "last_active_at": 1, "expires_days": None}
        storage.catalogue.insert("stores", row)
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


def is_found(places: Places) -> bool:
    with open_store(places.store("vs_old")) as store:
        try:
            return store.search("연차휴가는")[0].source == "file-1"
        except UserError:
            return False
