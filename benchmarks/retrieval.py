"""How well and how fast Korean passages are found, beside other libraries in the same run; docs/documents.md
quotes it.

    pip install bm25s tantivy
    python benchmarks/retrieval.py --data DIRECTORY [--chunks 100000]
    python benchmarks/retrieval.py --data DIRECTORY --postgres
    KODOLLY_API_KEY=... python benchmarks/retrieval.py --data DIRECTORY --chunks 0 \
        --embedding-model e5 --query-prefix 'query: ' --passage-prefix 'passage: ' [--gateway URL]

DIRECTORY holds kobest_v1.0/BoolQ/dev.tsv (SKT-LSL/KoBEST_datarepo) and koalpaca_v1.0_8000.json (the first
8,000 records of Beomi/KoAlpaca's `ko_alpaca_data.json`), as published; nothing is fetched here. First the
questions of BoolQ are asked of its 700 paragraphs: recall at 1, 5 and 10, MRR and nDCG with intervals, for
kodolly's store and for what other libraries do with Korean by default: bm25s over words, tantivy, FTS5's
`unicode61` and `trigram`. Those that are not installed are left out. With `--postgres` kodolly's store is
asked in a PostgreSQL that is started for it, too. Then kodolly's store measures by itself below which
relevance it probably does not know, and each question is asked with its paragraph in the store and without.

With an embedding model that a gateway serves, the same for words and vectors together and for vectors alone,
among BoolQ's paragraphs only.

Then the paragraphs stand among many chunks made by shuffling KoAlpaca's sentences, of a paragraph's length.
Shown are passages indexed a second, by the clock and by the CPU time of this process, and the time of a
question: median and 99%, and the median of its CPU time, that of a database apart. Let nothing else run
meanwhile.
"""

import argparse
import csv
import json
import os
import random
import re
import secrets
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import SecretStr

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from documents.search.calibration import calibrate, calibrate_both, knows  # noqa: E402
from documents.search.store import Store, open_store  # noqa: E402
from documents.search.terms import terms_of, terms_version  # noqa: E402
from documents.search.vectors import Matrix, QueryVector, VectorCache, VectorSource  # noqa: E402
from documents.service.pooling import BATCH_S, PoolingModels  # noqa: E402
from documents.service.settings import DocumentsSettings  # noqa: E402
from finetune.eval.intervals import wilson  # noqa: E402
from finetune.eval.retrieval import DEPTH, add_passages, ranked, scores  # noqa: E402
from tests.support.postgres import postgres, with_pgvector  # noqa: E402

if TYPE_CHECKING:
    from documents.search.vectors import Floats

ASKED_OF_MANY = 200
"""Questions whose time is measured."""
_WORDS = re.compile(r"\w+")
_SENTENCE_ENDS = re.compile(r"(?<=[.?!])\s+")

Ask = Callable[[str], Sequence[int]]
"""A question to numbers of passages, best first."""
Index = Callable[[Sequence[str], ExitStack], Ask]
"""Passages to what answers questions about them, until the stack is closed."""


@dataclass(frozen=True)
class Measured:
    """One library on one collection."""

    name: str
    indexed_s: float
    cpu_s: float
    """Of this process, while it indexed."""
    query_ms: list[float]
    query_cpu_ms: list[float]
    """Of this process."""
    ranks: list[int | None]


def boolq(data: Path) -> tuple[list[str], list[str]]:
    """Paragraphs and their questions, pair by pair."""
    with (data / "kobest_v1.0/BoolQ/dev.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [row["Text"] for row in rows], [row["Question"] for row in rows]


def made_chunks(data: Path, count: int, length: int) -> list[str]:
    """Chunks of about `length` characters, of sentences drawn by a fixed seed."""
    rows = json.loads((data / "koalpaca_v1.0_8000.json").read_text(encoding="utf-8"))
    whole = [s for row in rows for s in _SENTENCE_ENDS.split(row["output"]) if 10 < len(s) < 200]
    draw = random.Random(20230412)
    chunks = []
    for _ in range(count):
        text = ""
        while len(text) < length:
            text += draw.choice(whole) + " "
        chunks.append(text.strip())
    return chunks


def words(text: str) -> list[str]:
    """What most libraries take as words."""
    return _WORDS.findall(text.lower())


def kodolly(passages: Sequence[str], held: ExitStack) -> Ask:
    """The store of `kodolly documents`."""
    directory = Path(held.enter_context(tempfile.TemporaryDirectory()))
    store = held.enter_context(open_store(directory / "passages.db", create=True))
    add_passages(store, passages)
    return lambda question: [number for number, _ in ranked(store, question)]


def in_postgres(url: str) -> Index:
    """The same store in this database."""

    def index(passages: Sequence[str], held: ExitStack) -> Ask:
        from documents.service.postgres_storage import PostgresStorage

        storage = held.enter_context(closing(PostgresStorage(url)))
        name = f"benchmark {secrets.token_hex(4)}"
        held.callback(storage.remove, name)
        store = held.enter_context(storage.open(name, create=True))
        add_passages(store, passages)
        return lambda question: [number for number, _ in ranked(store, question)]

    return index


def fts5(tokenizer: str) -> Index:
    """SQLite's own full-text search over the raw text."""

    def index(passages: Sequence[str], held: ExitStack) -> Ask:
        directory = Path(held.enter_context(tempfile.TemporaryDirectory()))
        connection = held.enter_context(closing(sqlite3.connect(directory / "fts5.db")))
        connection.execute(f"CREATE VIRTUAL TABLE t USING fts5(text, tokenize = '{tokenizer}')")
        connection.executemany("INSERT INTO t (rowid, text) VALUES (?, ?)", enumerate(passages))
        connection.commit()

        def ask(question: str) -> Sequence[int]:
            match = " OR ".join(f'"{word}"' for word in dict.fromkeys(words(question)))
            rows = connection.execute(
                "SELECT rowid FROM t WHERE t MATCH ? ORDER BY rank LIMIT ?", (match, DEPTH)
            )
            return [int(row[0]) for row in rows]

        return ask

    return index


def bm25s_words(passages: Sequence[str], held: ExitStack) -> Ask:
    """bm25s over words."""
    import bm25s

    index = bm25s.BM25()
    index.index([words(text) for text in passages], show_progress=False)
    depth = min(DEPTH, len(passages))

    def ask(question: str) -> Sequence[int]:
        found, _ = index.retrieve([words(question)], k=depth, show_progress=False)
        return [int(number) for number in found[0]]

    return ask


def tantivy_default(passages: Sequence[str], held: ExitStack) -> Ask:
    """tantivy with its default tokenizer."""
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("number", stored=True)
    builder.add_text_field("text")
    index = tantivy.Index(builder.build())
    writer = index.writer()
    for number, text in enumerate(passages):
        writer.add_document(tantivy.Document(number=number, text=text))
    writer.commit()
    index.reload()
    searcher = index.searcher()

    def ask(question: str) -> Sequence[int]:
        query = index.parse_query(" ".join(words(question)), ["text"])
        return [int(searcher.doc(place)["number"][0]) for _, place in searcher.search(query, DEPTH).hits]

    return ask


LIBRARIES: dict[str, Index] = {
    "kodolly documents": kodolly,
    "bm25s, words": bm25s_words,
    "tantivy, default": tantivy_default,
    "FTS5 unicode61": fts5("unicode61"),
    "FTS5 trigram": fts5("trigram"),
}
BATCH = 16
"""Passages, or questions of the threshold, that are embedded together."""
NEEDS = {"bm25s, words": "bm25s", "tantivy, default": "tantivy"}


@dataclass(frozen=True)
class Embedded:
    """Passages with their vectors, and the model that made them."""

    models: PoolingModels
    rows: "Floats"
    source: VectorSource

    def question(self, text: str) -> QueryVector:
        """Its vector."""
        return self.models.questions([text], BATCH_S)[0]

    def questions(self, texts: Sequence[str]) -> list[QueryVector]:
        """Theirs."""
        return [self.question(text) for text in texts]

    def store(self, passages: Sequence[str], held: ExitStack) -> Store:
        """One in which each passage has its vector."""
        directory = Path(held.enter_context(tempfile.TemporaryDirectory()))
        store = held.enter_context(open_store(directory / "passages.db", create=True))
        add_passages(store, passages)
        store.vectors.begin(self.source)
        store.vectors.put(self.source, store.vectors.missing(len(passages)), self.rows)
        return store

    def words_and_vectors(self, passages: Sequence[str], held: ExitStack) -> Ask:
        """The store of the documents service, with an embedding model."""
        store, cache = self.store(passages, held), VectorCache()

        def ask(question: str) -> Sequence[int]:
            hits = store.search_by_both(question, self.question(question), cache, DEPTH)
            return [hit.spans[0].page or 0 for hit in hits or ()]

        return ask

    def vectors_alone(self, passages: Sequence[str], _held: ExitStack) -> Ask:
        """The nearest passages, whatever their words."""
        matrix = Matrix(np.arange(len(passages)), self.rows)
        return lambda question: [
            number for number, _ in matrix.nearest(self.question(question).vector, DEPTH)
        ]


def embedded(models: PoolingModels, passages: Sequence[str]) -> Embedded:
    """All passages by the model, with the rate of it."""
    began = time.perf_counter()
    made = [models.passages(passages[at : at + BATCH]) for at in range(0, len(passages), BATCH)]
    print(f"\n{len(passages) / (time.perf_counter() - began):,.1f} passages/s embedded", flush=True)
    return Embedded(models, np.concatenate([rows for rows, _ in made]), made[0][1])


def measure(index: Index, name: str, passages: Sequence[str], asked: Sequence[str]) -> Measured:
    """Index, then ask; the passage of question n is passage n."""
    with ExitStack() as held:
        began, cpu = time.perf_counter(), time.process_time()
        ask = index(passages, held)
        indexed, cpu = time.perf_counter() - began, time.process_time() - cpu
        ask(asked[0])
        times, cpu_times, ranks = [], [], []
        for gold, question in enumerate(asked):
            began, cpu_began = time.perf_counter(), time.process_time()
            found = ask(question)
            times.append((time.perf_counter() - began) * 1000)
            cpu_times.append((time.process_time() - cpu_began) * 1000)
            ranks.append(list(found).index(gold) + 1 if gold in found else None)
    return Measured(name, indexed, cpu, times, cpu_times, ranks)


def report(measured: Measured, passages: int, asked: Sequence[str]) -> None:
    """One line of figures, and one of the intervals."""
    found = scores("boolq", measured.ranks, asked[: len(measured.ranks)])
    figures = "  ".join(f"{one.metric} {one.value:.3f} ({one.low:.3f}-{one.high:.3f})" for one in found)
    late = statistics.quantiles(measured.query_ms, n=100)[-1]
    print(f"{measured.name:18} {figures}", flush=True)
    cpu = statistics.median(measured.query_cpu_ms)
    asked_in = (
        f"question {statistics.median(measured.query_ms):.1f} ms (99%: {late:.1f} ms; CPU {cpu:.1f} ms)"
    )
    print(f"{'':18} {rate(passages, measured.indexed_s, measured.cpu_s)}, {asked_in}", flush=True)


def rate(passages: int, seconds: float, cpu: float) -> str:
    """How many a second, by the clock and by CPU time."""
    return f"{passages / seconds:,.0f} passages/s ({passages / cpu:,.0f} a second of CPU)"


def refusals(passages: Sequence[str], asked: Sequence[str]) -> None:
    """What a store's own threshold keeps of questions that it answers, and refuses of those it does not."""
    with (
        tempfile.TemporaryDirectory() as directory,
        open_store(Path(directory) / "passages.db", create=True) as store,
    ):
        add_passages(store, passages)
        least = calibrate(store)
        with_answer, without = [], []
        for text, question in zip(passages, asked, strict=True):
            hits = store.search(question, DEPTH)
            with_answer.append(max((hit.relevance for hit in hits), default=0.0))
            without.append(max((hit.relevance for hit in hits if hit.text != text), default=0.0))
    kept = sum(one >= least for one in with_answer)
    refused = sum(one < least for one in without)
    higher = sum((a > b) + (a == b) / 2 for a in with_answer for b in without)
    print(
        f"\nThreshold measured by the store itself: relevance {least:.3f}\n"
        f"{'':18} with its paragraph kept {share(kept, len(asked))}, without it refused"
        f" {share(refused, len(asked))}, AUC {higher / (len(with_answer) * len(without)):.3f}",
        flush=True,
    )


def refusals_by_both(made: Embedded, passages: Sequence[str], asked: Sequence[str]) -> None:
    """The same with words and vectors weighed together."""
    with ExitStack() as held:
        store, cache = made.store(passages, held), VectorCache()
        calibrate(store)
        calibrate_both(store, made.questions, cache)
        kept = refused = 0
        for text, question in zip(passages, asked, strict=True):
            hits = store.search_by_both(question, made.question(question), cache, DEPTH + 1) or []
            kept += knows(store, hits[:DEPTH])
            refused += not knows(store, [hit for hit in hits if hit.text != text][:DEPTH])
    print(
        f"\nThreshold of words and vectors: with its paragraph kept {share(kept, len(asked))}, without it"
        f" refused {share(refused, len(asked))}",
        flush=True,
    )


def share(count: int, total: int) -> str:
    """A share with Wilson's 95% interval."""
    found = wilson(count, total)
    return f"{found.value:.1%} ({found.low:.1%}-{found.high:.1%})"


def with_model(options: argparse.Namespace, paragraphs: Sequence[str], asked: Sequence[str]) -> None:
    """What an embedding model behind the gateway adds."""
    models = PoolingModels(
        DocumentsSettings(
            token=SecretStr(os.environ.get("KODOLLY_API_KEY", "none")),
            gateway_url=options.gateway,
            embedding_model=options.embedding_model,
            embedding_query_prefix=options.query_prefix,
            embedding_passage_prefix=options.passage_prefix,
        )
    )
    with closing(models):
        made = embedded(models, paragraphs)
        for name, index in (("words and vectors", made.words_and_vectors), ("vectors", made.vectors_alone)):
            report(measure(index, name, paragraphs, asked), len(paragraphs), asked)
        refusals_by_both(made, paragraphs, asked)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--only", action="append", choices=[*LIBRARIES, "in PostgreSQL"])
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--gateway", default="http://127.0.0.1:8000")
    parser.add_argument("--embedding-model")
    parser.add_argument("--query-prefix", default="")
    parser.add_argument("--passage-prefix", default="")
    options = parser.parse_args()
    with ExitStack() as held:
        libraries = dict(LIBRARIES)
        if options.postgres:
            directory = Path(held.enter_context(tempfile.TemporaryDirectory()))
            libraries["in PostgreSQL"] = in_postgres(held.enter_context(postgres(directory, with_pgvector())))
        run(options, libraries)


def run(options: argparse.Namespace, libraries: dict[str, Index]) -> None:
    """All that the options ask for."""
    paragraphs, asked = boolq(options.data)
    print(f"{terms_version()}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    terms_of(["연차휴가"])  # the start of the analyser is not counted
    names = [
        name for name in options.only or libraries if name not in NEEDS or find_spec(NEEDS[name]) is not None
    ]
    print(f"\nBoolQ: {len(asked)} questions, {len(paragraphs)} paragraphs")
    for name in names:
        report(measure(libraries[name], name, paragraphs, asked), len(paragraphs), asked)
    if "kodolly documents" in names:
        refusals(paragraphs, asked)
    if options.embedding_model:
        with_model(options, paragraphs, asked)
    if options.chunks:
        length = round(statistics.mean(map(len, paragraphs)))
        many = paragraphs + made_chunks(options.data, options.chunks - len(paragraphs), length)
        print(f"\nThe same among {len(many):,} chunks of about {length} characters", flush=True)
        for name in names:
            report(measure(libraries[name], name, many, asked[:ASKED_OF_MANY]), len(many), asked)


if __name__ == "__main__":
    main()
