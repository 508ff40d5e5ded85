"""A store finds Korean words in all their forms, and holds each document whole or not at all."""

import sqlite3
import unicodedata
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path

import pytest

from common.errors import UserError
from documents.chunks import Chunk, Span, chunks_of
from documents.document import Block, Document, Line, Page
from documents.search import store as store_module
from documents.search.store import Store, open_store

TEXTS = {
    "휴가.pdf": "직원의 연차휴가는 15일로 한다.",
    "경조.pdf": "경조금은 사유가 생긴 날부터 한 달 안에 청구한다.",
    "개발.pdf": "새 도구는 c++ 로 쓰고 번호는 HR-101 이다.",
}


def document(name: str, text: str) -> Document:
    page = Page(3, text, (Block("paragraph", 0, len(text)),), (Line(0, 2, (1.0, 2.0, 3.0, 4.0)),), 7, "")
    return Document(name, "pdf", "0" * 64, name, (page,))


def add(store: Store, name: str, text: str) -> None:
    made = document(name, text)
    store.add(name, made, chunks_of(made), 800)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "handbook.db", create=True) as opened:
        for name, text in TEXTS.items():
            add(opened, name, text)
        yield opened


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("연차는 며칠인가요?", "휴가.pdf"),
        ("연차 휴가", "휴가.pdf"),
        ("청구하려면 언제까지입니까", "경조.pdf"),
        ("C++", "개발.pdf"),
        ("hr-101", "개발.pdf"),
        (unicodedata.normalize("NFD", "경조금"), "경조.pdf"),
        ('"휴가" OR (NEAR', "휴가.pdf"),
    ],
)
def test_words_are_found_in_all_their_forms(store: Store, question: str, wanted: str) -> None:
    hits = store.search(question)
    assert hits[0].name == wanted
    assert (hits[0].text, hits[0].spans) == (TEXTS[wanted], (Span(3, 0, len(TEXTS[wanted])),))
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


@pytest.mark.parametrize("question", ["", "  ", "?!", "쀍뛟"])
def test_what_is_nowhere_finds_nothing(store: Store, question: str) -> None:
    assert store.search(question) == []


def test_headings_find_their_passage(store: Store) -> None:
    made = document("징계.pdf", "정도에 따라 다르다.")
    chunk = Chunk("정도에 따라 다르다.", (Span(3, 0, 10),), ("제9장 징계", "감봉"))
    store.add("징계.pdf", made, [chunk], 800)
    assert store.search("감봉")[0].headings == ("제9장 징계", "감봉")


def test_a_document_is_replaced_and_removed_with_all_that_was_found_of_it(store: Store) -> None:
    add(store, "휴가.pdf", "병가는 진단서를 낸다.")
    assert [one.name for one in store.documents()] == sorted(TEXTS)
    assert store.search("연차") == []
    assert store.search("병가")[0].name == "휴가.pdf"
    assert store.remove("휴가.pdf")
    assert not store.remove("휴가.pdf")
    assert store.search("병가") == []


def test_pages_come_back_as_they_were_read(store: Store) -> None:
    (page,) = store.pages("휴가.pdf")
    assert (page.number, page.text, page.lines) == (
        3,
        TEXTS["휴가.pdf"],
        (Line(0, 2, (1.0, 2.0, 3.0, 4.0)),),
    )
    (known,) = [one for one in store.documents() if one.source == "휴가.pdf"]
    assert (known.pages, known.chunks, known.hidden_characters) == (1, 1, 7)
    assert known.characters == len(TEXTS["휴가.pdf"])


def test_a_document_that_cannot_be_put_in_whole_leaves_the_old_one(store: Store) -> None:
    made = document("휴가.pdf", "병가는 진단서를 낸다.")
    broken = Chunk("병가", (Span(3, 0, 2),), (object(),))  # type: ignore[arg-type]
    good = Chunk("병가", (Span(3, 0, 2),), ())
    with pytest.raises(TypeError):
        store.add("휴가.pdf", made, [good, broken], 800)
    assert store.search("연차")[0].name == "휴가.pdf"
    assert store.search("병가") == []


def test_an_index_of_other_rules_is_refused_until_it_is_rebuilt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "handbook.db"
    with open_store(path, create=True) as store:
        add(store, "휴가.pdf", TEXTS["휴가.pdf"])
    for module in ("documents.search.schema", "documents.search.store"):
        monkeypatch.setattr(f"{module}.terms_version", lambda: "words 2")
    with open_store(path) as store:
        refusal = "was made by .*; this is words 2.*documents rebuild --store handbook"
        with pytest.raises(UserError, match=refusal):
            store.search("연차")
        with pytest.raises(UserError, match=refusal):
            add(store, "b", "글")
        monkeypatch.setattr(store_module, "terms_of", words)
        assert store.rebuild() == 1
        assert store.search("연차휴가는")[0].name == "휴가.pdf"
        assert store.search("연차") == []


def words(texts: Sequence[str]) -> list[list[str]]:
    """Terms that are plain words, where the analyser is not what is asked."""
    return [text.split() for text in texts]


def write_and_search(path: Path, name: str) -> None:
    """What each of several processes does."""
    pytest.MonkeyPatch().setattr(store_module, "terms_of", words)  # until the process ends
    with open_store(path, create=True) as store:
        for number in range(5):
            add(store, name, f"{name} 휴가는 {number}일이다.")
            assert store.search("휴가는")


def test_several_processes_write_and_search_one_new_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "terms_of", words)
    path = tmp_path / "shared.db"
    context = get_context("spawn")
    processes = [context.Process(target=write_and_search, args=(path, name)) for name in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    with open_store(path) as store:
        found = {hit.text for hit in store.search("휴가는")}
    assert found == {"a 휴가는 4일이다.", "b 휴가는 4일이다."}


def test_a_store_that_is_not_there_or_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no store 'none'"), open_store(tmp_path / "none.db"):
        pass
    (tmp_path / "text.db").write_text("no database " * 100)
    with pytest.raises(UserError, match="is no store of documents"), open_store(tmp_path / "text.db"):
        pass
    with open_store(tmp_path / "later.db", create=True):
        pass
    connection = sqlite3.connect(tmp_path / "later.db")
    connection.execute("UPDATE facts SET value = '9' WHERE name = 'format'")
    connection.commit()
    connection.close()
    with pytest.raises(UserError, match="has format 9"), open_store(tmp_path / "later.db"):
        pass


def test_a_store_is_for_its_user_alone(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db", create=True):
        assert (tmp_path / "a.db").stat().st_mode & 0o077 == 0


def test_candidates_of_the_rarest_term_are_ranked_by_all(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("documents.search.bm25.MOST_ROWS", 1)
    add(store, "a", "감봉 규정은 따로 정하여 알린다.")
    add(store, "b", "감봉의 절차와 기간을 따로 정하여 게시판에 알린다.")
    for number in range(2):
        add(store, f"c{number}", f"절차와 기간을 정한다. {number}")
    assert [hit.name for hit in store.search("감봉, 절차와 기간")] == ["b", "a"]
