"""Vectors beside the words of a store: whose they are, what is nearest, and one order out of both."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents.chunks import Chunk, Span
from documents.document import Document
from documents.search import store as store_module
from documents.search.calibration import calibrate_both, knows
from documents.search.fusion import fused
from documents.search.store import Store, open_store
from documents.search.vectors import Matrix, QueryVector, VectorCache, VectorSource

SOURCE = VectorSource("embed", "0123456789ab", "", 2)
TEXTS = ("연차휴가는 15일", "경조금은 한 달", "출장비는 닷새")
ids = st.lists(st.integers(1, 20), unique=True)


def words(texts: Sequence[str]) -> list[list[str]]:
    """Terms that are plain words."""
    return [text.split() for text in texts]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(store_module, "terms_of", words)
    with open_store(tmp_path / "handbook.db", create=True) as opened:
        for text in TEXTS:
            add(opened, text)
        yield opened


def add(store: Store, *texts: str) -> None:
    chunks = [Chunk(text, (Span(None, 0, len(text)),), ()) for text in texts]
    store.add(texts[0], Document(texts[0], "text", "", texts[0], ()), chunks, 800)


def floats(*rows: Sequence[float]) -> Any:
    made = np.array(rows, np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def fill(store: Store, rows: Any, source: VectorSource = SOURCE) -> None:
    store.vectors.begin(source)
    assert store.vectors.put(source, store.vectors.missing(100), rows)


def asked(store: Store, question: str, vector: Sequence[float], cache: VectorCache) -> list[str]:
    near = QueryVector(floats(vector)[0], SOURCE)
    hits = store.search_by_both(question, near, cache)
    assert hits is not None
    return [hit.text for hit in hits]


def test_what_no_word_finds_is_found_by_its_vector(store: Store) -> None:
    cache = VectorCache()
    fill(store, floats((1, 0), (0, 1), (1, 1)))
    assert store.search("며칠 쉬나요") == []
    assert asked(store, "며칠 쉬나요", (1, 0.1), cache) == [TEXTS[0], TEXTS[2], TEXTS[1]]
    near = QueryVector(floats((0, 1))[0], SOURCE)
    hits = store.search_by_both("연차휴가는", near, cache, 3, {TEXTS[0], TEXTS[1]})
    assert hits is not None
    assert [(hit.text, round(hit.similarity or 0, 3)) for hit in hits] == [(TEXTS[0], 0), (TEXTS[1], 1)]


def test_chunks_that_come_and_go_are_followed(store: Store) -> None:
    cache = VectorCache()
    fill(store, floats((1, 0), (0, 1), (1, 1)))
    assert asked(store, "", (1, 0), cache)[0] == TEXTS[0]
    store.remove(TEXTS[2])  # its id is given to the next chunk
    assert asked(store, "", (1, 1), cache) == [TEXTS[0], TEXTS[1]]
    add(store, "새 규정")
    assert store.vectors.counts() == (2, 3)
    assert asked(store, "규정", (1, 0), cache) == ["새 규정", TEXTS[0], TEXTS[1]]  # loses nothing meanwhile
    fill(store, floats((0.5, -1)))
    assert asked(store, "", (0.5, -1), cache)[0] == "새 규정"
    assert store.vectors.missing(1) == []


def test_a_vector_is_not_kept_for_a_chunk_that_has_changed_meanwhile(store: Store) -> None:
    store.vectors.begin(SOURCE)
    batch = store.vectors.missing(100)
    store.remove(TEXTS[2])
    add(store, "새 규정")
    assert store.vectors.put(SOURCE, batch, floats((1, 0), (0, 1), (1, 1)))
    assert [text for _, text in store.vectors.missing(100)] == ["새 규정"]


def test_vectors_of_two_checkpoints_never_meet(store: Store) -> None:
    fill(store, floats((1, 0), (0, 1), (1, 1)))
    other = VectorSource("embed", "ba9876543210", "", 2)
    near = QueryVector(floats((1, 0))[0], other)
    assert store.search_by_both("연차휴가는", near, VectorCache()) is None
    assert not store.vectors.begin(SOURCE)
    assert store.vectors.begin(other)
    assert store.vectors.counts() == (0, 3)
    assert not store.vectors.put(SOURCE, store.vectors.missing(100), floats((1, 0), (0, 1), (1, 1)))
    assert store.vectors.source() == other


def test_a_store_of_an_earlier_kodolly_takes_vectors(tmp_path: Path, store: Store) -> None:
    with closing(sqlite3.connect(tmp_path / "handbook.db")) as file:
        file.executescript("DROP TABLE vectors; DELETE FROM facts WHERE name LIKE 'vectors%';")
    with open_store(tmp_path / "handbook.db") as again:
        fill(again, floats((1, 0), (0, 1), (1, 1)))
        assert again.vectors.counts() == (3, 3)


@given(ids, ids, st.sets(st.integers(1, 20)))
def test_the_order_is_that_of_reciprocal_ranks(words: list[int], near: list[int], held: set[int]) -> None:
    held |= set(near)
    order = fused(words, near, held.__contains__)
    assert {chunk for chunk, _ in order} == {*words, *near}
    for chunk, score in order:
        by_words = 1 / (61 + words.index(chunk)) if chunk in words else 0.0
        by_vectors = 1 / (61 + near.index(chunk)) if chunk in near else 0.0
        wanted = by_words + (by_vectors if chunk in held else by_words)
        assert score == pytest.approx(wanted)
    assert [score for _, score in order] == sorted((score for _, score in order), reverse=True)
    assert [chunk for chunk, _ in fused(words, [], set().__contains__)] == words


@given(st.integers(0, 30), st.integers(1, 30), st.sets(st.integers(0, 40)))
def test_the_nearest_are_exact(count: int, limit: int, among: set[int]) -> None:
    rows = np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32)
    matrix = Matrix(np.arange(count, dtype=np.int64) + 5, rows)
    vector = np.array((1, 2, 3), np.float32)
    wanted = sorted((-float(row @ vector), at + 5) for at, row in enumerate(rows) if at + 5 in among)
    found = matrix.nearest(vector, limit, among)
    assert [chunk for chunk, _ in found] == [chunk for _, chunk in wanted[:limit]]
    assert all(matrix.holds(at + 5) for at in range(count))
    assert not matrix.holds(count + 5)
    assert not matrix.holds(4)


def test_words_and_vectors_together_tell_what_is_not_known(store: Store) -> None:
    """60 passages about 20 things; a question about another thing has neither words nor a neighbour."""
    cache = VectorCache()
    chance = np.random.default_rng(0)
    things = [[f"낱말{thing}가", f"낱말{thing}나", f"낱말{thing}다", "그리고", "또한"] for thing in range(20)]
    add(store, *[" ".join([*things[at % 20], f"글{at}"]) for at in range(60)])
    directions = floats(*chance.normal(size=(20, 8)))
    source = VectorSource("embed", "", "", 8)
    store.vectors.begin(source)
    made = store.vectors.missing(100)
    own = [directions[(at - 3) % 20] + chance.normal(size=8) * 0.05 for at in range(len(made))]
    assert store.vectors.put(source, made, floats(*own))
    vectors = {text: row for (_, text), row in zip(made, floats(*own), strict=True)}

    def embedded(texts: Sequence[str]) -> list[QueryVector]:
        whole = [next(one for one in vectors if set(text.split()) <= set(one.split())) for text in texts]
        return [QueryVector(vectors[one], source) for one in whole]

    assert calibrate_both(store, embedded, cache) is not None
    known = QueryVector(directions[4], source)
    unknown = QueryVector(-floats(directions.sum(axis=0))[0], source)
    for question, near, wanted in (("낱말4가 낱말4나", known, True), ("또한 무엇", unknown, False)):
        hits = store.search_by_both(question, near, cache, 5)
        assert hits is not None
        assert knows(store, hits) is wanted
    store.vectors.begin(SOURCE)
    assert store.evidence() is None  # it was of the other vectors
