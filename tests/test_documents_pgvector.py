"""Vectors in PostgreSQL's extension pgvector: the same neighbours as in memory, whether it comes or goes."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from pydantic import SecretStr

from documents.chunks import Chunk, Span
from documents.document import Document, Page
from documents.postgres.extension import Pgvector, pgvector_at
from documents.search import store as store_module
from documents.search.store import Store, open_store
from documents.search.tables import Tables
from documents.search.vectors import Matrix, QueryVector, VectorCache, VectorSource
from documents.service.embedder import Embedder
from documents.service.pooling import PoolingModels
from documents.service.postgres_storage import PostgresStorage
from documents.service.settings import DocumentsSettings
from kodolly.doctor.parts import examine_part
from tests.support.postgres import binaries, postgres, with_pgvector
from tests.support.processes import PATIENCE_S, free_port, wait_for

if TYPE_CHECKING:
    from documents.search.vectors import Floats

pytestmark = pytest.mark.slow
SOURCE = VectorSource("embed", "0123", "", 3)
DIRECTIONS = {
    "연차": (1, 0, 0),
    "병가": (0, 1, 0),
    "출장": (0, 0, 1),
    "경조": (0.6, 0.8, 0),
    "빈칸": (0, 0, 0),
}
"""A word, and the vector of what holds it; no model has taken the last one."""
NEW = "CREATE SCHEMA elsewhere; CREATE EXTENSION vector SCHEMA elsewhere"
GONE = "DROP EXTENSION vector CASCADE; DROP SCHEMA elsewhere"


class Unasked(VectorCache):
    """Memory that nobody needs where the database compares."""

    def matrix(self, tables: Tables) -> Matrix:
        raise AssertionError(f"the vectors of {tables.name} were read")


class Model:
    """An embedding model that knows the words of `DIRECTIONS`."""

    def passages(self, texts: Sequence[str]) -> tuple["Floats", VectorSource]:
        found = [next((v for word, v in DIRECTIONS.items() if word in text), (1, 1, 1)) for text in texts]
        return np.asarray(found, np.float32), SOURCE


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgres(tmp_path_factory.mktemp("pgvector"), with_pgvector()) as made:
        yield made


@pytest.fixture
def storage(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresStorage]:
    """Emptied, and without the extension. Terms are plain words."""
    monkeypatch.setattr(store_module, "terms_of", lambda texts: [text.split() for text in texts])
    with closing(PostgresStorage(url)) as opened:
        run(opened, "DELETE FROM indexes; DROP EXTENSION IF EXISTS vector CASCADE")
        run(opened, "DROP SCHEMA IF EXISTS elsewhere")
        yield opened


def run(storage: PostgresStorage, statements: str) -> None:
    with storage.database.session() as session:
        for statement in statements.split("; "):
            session.change(statement)


def add(store: Store, *words: str) -> None:
    for word in words:
        text = f"{word} 규정"
        document = Document(word, "pdf", "ab", word, (Page(1, text, ()),))
        store.add(word, document, [Chunk(text, (Span(1, 0, len(text)),), ())], 800)


def fill(store: Store) -> None:
    """Make what is missing."""
    store.vectors.begin(SOURCE)
    made = store.vectors.missing(100)
    rows, _ = Model().passages([text for _, text in made])
    assert store.vectors.put(SOURCE, made, rows)


def found(store: Store, cache: VectorCache, sources: Sequence[str] | None = None) -> list[Any]:
    near = QueryVector(np.asarray((0.8, 0.6, 0), np.float32), SOURCE)
    hits = store.search_by_both("출장 규정", near, cache, 10, sources)
    assert hits is not None
    similar = [None if hit.similarity is None else round(hit.similarity, 5) for hit in hits]
    return [(hit.source, round(hit.score, 6), near) for hit, near in zip(hits, similar, strict=True)]


def test_the_database_finds_what_is_found_in_memory(storage: PostgresStorage, tmp_path: Path) -> None:
    run(storage, NEW)
    with (
        open_store(tmp_path / "handbook.db", create=True) as lite,
        storage.open("handbook", create=True) as post,
        storage.open("other", create=True) as other,
    ):
        for store in (lite, post, other):
            store.vectors.arrange()
            add(store, "연차", "병가", "출장", "빈칸")
            fill(store)
            add(store, "경조")  # and has no vector yet
        for sources in (None, ["병가", "경조", "빈칸"], []):
            assert found(post, Unasked(), sources) == found(lite, VectorCache(), sources)
        assert len(found(post, Unasked())) == 5
        for store in (lite, post):
            fill(store)
            store.remove("연차")
        assert found(post, Unasked()) == found(lite, VectorCache())
        assert {source: near for source, _, near in found(post, Unasked())}["경조"] == 0.96
        assert post.vectors.begin(VectorSource("embed", "4567", "", 2))  # of other dimensions
        assert post.vectors.put(
            VectorSource("embed", "4567", "", 2), post.vectors.missing(9), np.ones((4, 2), np.float32)
        )
        near = QueryVector(np.asarray((0, 1), np.float32), VectorSource("embed", "4567", "", 2))
        assert len(post.search_by_both("규정", near, Unasked()) or ()) == 4
        assert len(found(other, Unasked())) == 5


def test_an_extension_that_comes_and_goes_costs_no_vector(storage: PostgresStorage) -> None:
    settings = DocumentsSettings(token=SecretStr("t"), embedding_model="embed")
    embedder = Embedder(settings, storage, cast(PoolingModels, Model()), VectorCache())
    with storage.open("vs_1", create=True) as store:
        add(store, "연차", "병가", "출장")
    embedder.start()
    try:
        with storage.open("vs_1") as store:
            wait_for(lambda: store.vectors.counts() == (3, 3), PATIENCE_S, what="the vectors")
            wanted = found(store, VectorCache())
            for _ in range(2):  # what it has left behind the first time does no harm
                run(storage, NEW)
                assert found(store, VectorCache()) == wanted
                embedder.wake()
                wait_for(lambda: by_database(store) == wanted, PATIENCE_S, what="pgvector")
                run(storage, GONE)
                assert found(store, VectorCache()) == wanted
            add(store, "경조")
            embedder.wake()
            wait_for(lambda: store.vectors.counts() == (4, 4), PATIENCE_S, what="the new vector")
            wanted = found(store, VectorCache())
            run(storage, NEW)
            embedder.wake()
            wait_for(lambda: by_database(store) == wanted, PATIENCE_S, what="pgvector")
    finally:
        embedder.stop()


def by_database(store: Store) -> list[Any]:
    """What it finds; nothing while vectors are read."""
    try:
        return found(store, Unasked())
    except AssertionError:
        return []


def test_vectors_of_a_service_that_knows_no_pgvector_are_found(storage: PostgresStorage) -> None:
    run(storage, NEW)
    with storage.open("handbook", create=True) as store:
        store.vectors.arrange()
        add(store, "연차", "병가")
        fill(store)
        add(store, "경조")
        vector = np.asarray(DIRECTIONS["경조"], "<f4").tobytes().hex()
        run(
            storage,
            "INSERT INTO vectors SELECT id, index_id, "  # noqa: S608
            f"'\\x{vector}' FROM chunks WHERE text LIKE '경조%'; UPDATE facts SET value = 'other'"
            " WHERE name = 'vectors stamp'",
        )
        wanted = found(store, VectorCache())
        assert {source: near for source, _, near in wanted}["경조"] == 0.96
        assert by_database(store) == []
        store.vectors.arrange()
        assert by_database(store) == wanted


def test_whoever_starts_or_examines_a_service_learns_who_compares(
    storage: PostgresStorage, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in (("TOKEN", "0" * 32), ("DATABASE_URL", url), ("PORT", str(free_port()))):
        monkeypatch.setenv(f"KODOLLY_DOCUMENTS_{name}", value)
    monkeypatch.setenv("KODOLLY_STATE_DIR", str(tmp_path))
    assert pgvector_at(url) == Pgvector(None, available=True)
    assert "CREATE EXTENSION vector" in examined()
    run(storage, NEW)
    assert examined() == f"compared by pgvector {pgvector_at(url).version} in the database"


@pytest.mark.skipif(binaries() is None, reason="PostgreSQL is not installed: apt install postgresql")
def test_a_server_without_pgvector_is_told_apart(tmp_path: Path) -> None:
    with postgres(tmp_path) as plain:
        assert pgvector_at(plain).told().endswith("the server has no pgvector")


def examined() -> str:
    return next(
        finding.found for finding in examine_part("documents", ["serve"]) if finding.what == "vectors"
    )
