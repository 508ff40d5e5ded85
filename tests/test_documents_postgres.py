"""Documents in PostgreSQL: the same answers as with SQLite, for several services over one database."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from common.database import StoreFailed
from common.documents_service import OWNER_HEADER
from common.errors import UserError
from documents.chunks import Chunk, Span
from documents.document import Document, Page
from documents.postgres.database import PostgresDatabase
from documents.search import bm25
from documents.search import store as store_module
from documents.search.store import Store, open_store
from documents.search.vectors import QueryVector, VectorCache, VectorSource
from documents.service.backup import Contents, back_up_storage, restore_storage
from documents.service.postgres_storage import PostgresStorage
from tests.support.postgres import binaries, control, postgres
from tests.support.processes import PATIENCE_S, free_port, kodolly, running, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(binaries() is None, reason="PostgreSQL is not installed: apt install postgresql"),
]
TEXTS = (
    "연차 휴가 15일 부서장 승인",
    "병가 휴가 진단서 제출",
    "출장 여비 정산 닷새",
    "c++ 과 it's \\ ' 기호 휴가 휴가 휴가",
)
TOKEN = "documents-token"
HEADERS = {"authorization": f"Bearer {TOKEN}", OWNER_HEADER: "key-1"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgres(tmp_path_factory.mktemp("postgres")) as made:
        yield made


@pytest.fixture
def storage(url: str) -> Iterator[PostgresStorage]:
    """Emptied."""
    opened = PostgresStorage(url)
    for table in ("files", "stores", "bindings", "indexes"):
        opened.catalogue.change(f"DELETE FROM {table}")  # noqa: S608
    yield opened
    opened.close()


@pytest.fixture
def plain_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Terms that are plain words."""
    monkeypatch.setattr(store_module, "terms_of", words)


def words(texts: Sequence[str]) -> list[list[str]]:
    return [text.split() for text in texts]


def add(store: Store, source: str, text: str) -> None:
    page = Page(3, text, (), problem="recognised" if "여비" in text else "")
    document = Document(source, "pdf", "ab", source, (page,))
    store.add(source, document, [Chunk(text, (Span(3, 0, len(text)),), ("규정",))], 800)


@contextmanager
def both(storage: PostgresStorage, root: Path) -> Iterator[tuple[Store, Store]]:
    """A store in SQLite and one in PostgreSQL with the same documents; beside it another one's."""
    with (
        open_store(root / "handbook.db", create=True) as lite,
        storage.open("handbook", create=True) as post,
        storage.open("other", create=True) as other,
    ):
        add(other, "a", "휴가 휴가 연차 여비")
        for store in (lite, post):
            for number, text in enumerate(TEXTS):
                add(store, f"{number}.pdf", text)
        yield lite, post


def found(store: Store, question: str, sources: Sequence[str] | None = None) -> list[Any]:
    hits = store.search(question, 10, sources)
    return [
        (hit.source, round(hit.score, 4), round(hit.relevance, 4), hit.spans, hit.problem) for hit in hits
    ]


@pytest.mark.usefixtures("plain_terms")
def test_both_databases_find_the_same_with_the_same_scores(storage: PostgresStorage, tmp_path: Path) -> None:
    with both(storage, tmp_path) as (lite, post):
        for question in ("휴가 승인", "휴가", "c++ it's", "\\ '", "없는 말", "여비 정산 휴가", ""):
            assert found(post, question) == found(lite, question), question
        assert found(post, "여비")[0][-1] == "recognised"
        assert found(post, "휴가", ["0.pdf", "3.pdf"]) == found(lite, "휴가", ["0.pdf", "3.pdf"])
        for store in (lite, post):
            add(store, "1.pdf", "병가 연차 승인")
            assert store.remove("2.pdf")
            assert not store.remove("2.pdf")
        assert found(post, "여비 승인 연차") == found(lite, "여비 승인 연차") != []
        assert post.pages("0.pdf") == lite.pages("0.pdf")
        known = [(one.source, one.pages, one.chunks, one.characters) for one in post.documents()]
        assert known == [(one.source, one.pages, one.chunks, one.characters) for one in lite.documents()]
        assert post.rebuild() == lite.rebuild() == 3
        assert found(post, "연차 휴가") == found(lite, "연차 휴가") != []


@pytest.mark.usefixtures("plain_terms")
def test_a_few_candidates_are_ranked_by_all_terms(
    storage: PostgresStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with both(storage, tmp_path) as (_, post):
        whole = found(post, "15일 휴가 승인")
        monkeypatch.setattr(bm25, "MOST_ROWS", 1)
        assert found(post, "15일 휴가 승인") == whole[:1]


@pytest.mark.usefixtures("plain_terms")
def test_a_text_that_the_database_cannot_hold_is_no_failure_of_the_database(
    storage: PostgresStorage, tmp_path: Path
) -> None:
    with both(storage, tmp_path) as (_, post):
        with pytest.raises(UserError, match="cannot hold"):
            add(post, "0.pdf", " ".join(f"낱말{number:09}" for number in range(60_000)))
        assert found(post, "연차")[0][0] == "0.pdf"


@pytest.mark.usefixtures("plain_terms")
def test_how_often_terms_occur_is_kept_exactly(storage: PostgresStorage, tmp_path: Path) -> None:
    counted = "SELECT index_id, lexeme AS term, count(*) AS chunks FROM chunks, unnest(terms) GROUP BY 1, 2"
    with both(storage, tmp_path) as (_, post):
        add(post, "0.pdf", "새 휴가 규정")
        post.remove("3.pdf")
        storage.remove("other")
    wrong = storage.catalogue.rows(
        f"SELECT * FROM ({counted}) c FULL JOIN frequencies f USING (index_id, term)"  # noqa: S608
        " WHERE c.chunks IS DISTINCT FROM f.chunks"
    )
    assert wrong == []
    sizes = "SELECT chunks, terms, (SELECT sum(length) FROM chunks) AS length FROM indexes"
    assert storage.catalogue.rows(sizes) == [{"chunks": 3, "terms": 14, "length": 14}]


@pytest.mark.usefixtures("plain_terms")
def test_vectors_are_searched_as_with_sqlite(storage: PostgresStorage, tmp_path: Path) -> None:
    import numpy as np

    source = VectorSource("embed", "0123", "", 2)
    cache = VectorCache()
    near = QueryVector(np.asarray((0, 1), np.float32), source)
    rows = np.asarray([(1, 0), (0, 1), (0.6, 0.8), (0.8, 0.6)], np.float32)
    with both(storage, tmp_path) as (lite, post):
        answers = []
        for store in (lite, post):
            assert store.vectors.begin(source)
            assert store.vectors.put(source, store.vectors.missing(9), rows)
            assert store.vectors.counts() == (4, 4)
            hits = store.search_by_both("연차 승인", near, cache) or []
            answers.append([(hit.source, hit.score, hit.similarity) for hit in hits])
            store.remove("1.pdf")
            after = store.search_by_both("연차 승인", near, cache) or []
            answers.append([(hit.source, hit.score, hit.similarity) for hit in after])
        assert answers[:2] == answers[2:]
        assert len(answers[0]) == 4
        assert len(answers[1]) == 3


def test_a_term_or_text_that_postgresql_cannot_take_is_taken(
    storage: PostgresStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "terms_of", words)
    with storage.open("odd", create=True) as store:
        add(store, "a\0b", "휴가 " + "x" * 3000)
        assert [hit.name for hit in store.search("x" * 3000)] == ["a\N{REPLACEMENT CHARACTER}b"]
        assert store.search("x" * 2999) == []


def test_a_url_of_something_else_is_refused(tmp_path: Path) -> None:
    from documents.service.opening import open_storage

    with pytest.raises(UserError, match="names SQLite, which needs no URL"):
        open_storage(tmp_path, "sqlite:///documents.db")
    with pytest.raises(UserError, match="cannot be opened"):
        open_storage(tmp_path, f"postgresql://kodolly@127.0.0.1:{free_port()}/none")


@contextmanager
def services(url: str, cwd: Path) -> Iterator[list[httpx2.Client]]:
    """Two over one database, as on two hosts."""
    with ExitStack() as stack:
        clients = []
        for number in range(2):
            port = free_port()
            env = {"KODOLLY_DOCUMENTS_TOKEN": TOKEN, "KODOLLY_DOCUMENTS_DATABASE_URL": url}
            env["KODOLLY_STATE_DIR"] = str(cwd / f"state{number}")
            argv = kodolly("documents", "serve", "--port", str(port))
            where = f"http://127.0.0.1:{port}"
            stack.enter_context(running(argv, cwd / f"{number}.log", f"{where}/healthz", env, cwd))
            client = httpx2.Client(base_url=where, headers=HEADERS, timeout=PATIENCE_S)
            clients.append(stack.enter_context(client))
        yield clients


def search(client: httpx2.Client, store: str, question: str) -> list[str]:
    answer = client.post(f"/v1/vector_stores/{store}/search", json={"query": question})
    return [one["filename"] for one in answer.raise_for_status().json()["data"]]


def indexed(client: httpx2.Client, store: str, count: int) -> Callable[[], bool]:
    def check() -> bool:
        counts = client.get(f"/v1/vector_stores/{store}").json()["file_counts"]
        assert counts["failed"] == 0
        return bool(counts["completed"] == count)

    return check


def upload(client: httpx2.Client, name: str, text: str) -> str:
    answer = client.post("/v1/files", files={"file": (name, text.encode())}, data={"purpose": "assistants"})
    return str(answer.raise_for_status().json()["id"])


def test_two_services_serve_one_database_and_outlive_it(tmp_path: Path) -> None:
    with postgres(tmp_path) as url:
        with services(url, tmp_path) as (first, second):
            files = [
                upload((first, second)[n % 2], f"규정{n}.md", f"제{n}조 휴가는 {n}일이다.") for n in range(6)
            ]
            made = first.post(
                "/v1/vector_stores", json={"name": "휴가", "file_ids": files, "shared_with": ["b"]}
            )
            store = made.raise_for_status().json()["id"]
            wait_for(indexed(second, store, 6), PATIENCE_S, what="the files")
            assert search(second, store, "3일 휴가") == search(first, store, "3일 휴가")
            assert len(search(second, store, "휴가")) == 6
            shown = second.get(f"/v1/files/{files[2]}/content").raise_for_status()
            assert shown.text == "제2조 휴가는 2일이다."
            assert "attachment" in shown.headers["content-disposition"]
            for key, seen in (("b", 1), ("c", 0)):
                listed = second.get("/v1/vector_stores", headers={OWNER_HEADER: key}).json()["data"]
                assert len(listed) == seen
            second.delete(f"/v1/files/{files[0]}").raise_for_status()
            assert len(search(first, store, "휴가")) == 5
            assert len(first.get("/v1/files?limit=3").json()["data"]) == 3

            asked = {
                "bytes": 24,
                "filename": "부칙.md",
                "purpose": "assistants",
                "mime_type": "text/markdown",
            }
            begun = first.post("/v1/uploads", json=asked).raise_for_status().json()["id"]
            text = "부칙은 따로 -휴가".encode()
            parts = [
                one.post(f"/v1/uploads/{begun}/parts", files={"data": ("part", piece)}).json()["id"]
                for one, piece in ((second, text[:20]), (first, text[20:]))
            ]
            digest = hashlib.md5(text, usedforsecurity=False).hexdigest()
            wrong = {"part_ids": parts, "md5": "0" * 32}
            assert second.post(f"/v1/uploads/{begun}/complete", json=wrong).status_code == 400
            right = {"part_ids": parts, "md5": digest}
            done = second.post(f"/v1/uploads/{begun}/complete", json=right).raise_for_status().json()
            joined = first.get(f"/v1/files/{done['file']['id']}/content").raise_for_status()
            assert joined.content == text

            control(tmp_path, url, "-m", "fast", "stop")
            away = first.get("/v1/files")
            assert (away.status_code, away.json()["error"]["code"]) == (500, "store_failed")
            assert "documents.database_url" in away.json()["error"]["message"]
            control(tmp_path, url, "start")
            try:
                wait_for(lambda: first.get("/v1/files").status_code == 200, PATIENCE_S, what="the database")
                assert len(search(second, store, "휴가")) == 5
            finally:
                control(tmp_path, url, "-m", "fast", "stop")


@pytest.mark.usefixtures("plain_terms")
def test_a_backup_moves_between_sqlite_and_postgresql(
    storage: PostgresStorage, url: str, tmp_path: Path
) -> None:
    row = {"id": "file-1", "owner": "k", "filename": "규정.md", "bytes": 6, "purpose": "assistants"}
    with storage.catalogue.transaction():
        storage.keep(row | {"created_at": 1, "expires_at": None}, "휴가".encode())
    store = {"id": "vs_1", "owner": "k", "name": "휴가", "description": "", "metadata": "{}"}
    storage.catalogue.insert(
        "stores", store | {"shared_with": "[]", "created_at": 1, "last_active_at": 1, "expires_days": None}
    )
    with storage.open("handbook", create=True) as kept:
        add(kept, "휴가.pdf", TEXTS[0])
        kept.remember_least_relevance(0.25)
    first, second = tmp_path / "first.backup", tmp_path / "second.backup"
    assert back_up_storage(tmp_path, url, first) == Contents(files=1, stores=1)
    assert restore_storage(first, tmp_path / "state", None) == Contents(files=1, stores=1)
    assert back_up_storage(tmp_path / "state", None, second) == Contents(files=1, stores=1)
    with pytest.raises(UserError, match="There are documents in the database"):
        restore_storage(second, tmp_path, url)
    storage.catalogue.change("UPDATE files SET filename = 'x.md'")
    with storage.open("later", create=True):
        pass
    assert restore_storage(second, tmp_path, url, replace=True) == Contents(files=1, stores=1)
    assert storage.stores() == ["handbook"]
    assert [one["filename"] for one in storage.catalogue.rows("SELECT filename FROM files")] == ["규정.md"]
    assert storage.content("file-1", "규정.md") == "휴가".encode()
    with storage.open("handbook") as back:
        assert [hit.name for hit in back.search("승인")] == ["휴가.pdf"]
        assert back.least_relevance() == 0.25
    first.write_bytes(first.read_bytes()[:200])
    with pytest.raises(UserError, match="no whole backup"):
        restore_storage(first, tmp_path, url, replace=True)
    assert storage.stores() == ["handbook"]


def test_a_statement_that_fails_leaves_nothing_and_the_connection_goes_on(url: str) -> None:
    database = PostgresDatabase(url)
    with database.session() as session:
        with pytest.raises(StoreFailed), session.transaction():
            session.change("INSERT INTO indexes (name) VALUES (?)", ["half"])
            session.rows("SELECT nothing")
        assert session.rows("SELECT 1 FROM indexes WHERE name = ?", ["half"]) == []
    database.close()
