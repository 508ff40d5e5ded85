"""How soon and how exactly the nearest vectors are found in PostgreSQL; docs/documents.md quotes it.

    python benchmarks/neighbours.py [--vectors 100000] [--dimensions 384] [--hnsw]

A server with pgvector is started here (the wheel `pgserver`), and a store gets vectors of length 1. Shown are
how long it takes to copy them into pgvector, and the time of a question's 50 nearest: in the service's
memory, where the first question after a change waits until all are read, and in the database. Of an HNSW
index (`--hnsw`), which kodolly does not make, also the share of the true 50 that it finds: for vectors that
lie near a space of 16, 64 or as many dimensions as they have numbers, since that decides it. Let nothing else
run meanwhile.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from documents.postgres.database import Session  # noqa: E402
from documents.search.pgvector import Copies, copies  # noqa: E402
from documents.search.postgres_tables import PostgresTables, index_of  # noqa: E402
from documents.search.vectors import StoredVectors, VectorCache, VectorSource, neighbours  # noqa: E402
from documents.service.postgres_storage import PostgresStorage  # noqa: E402
from tests.support.postgres import postgres, with_pgvector  # noqa: E402

if TYPE_CHECKING:
    from documents.search.vectors import Floats

QUESTIONS = 100
NEAREST = 50
NOISE = 0.3
"""Length of what is added to a vector to make it a question, against its own of 1."""
PUT = 1_000
INNER = (16, 64)
CANDIDATES = (100, 400)
"""pgvector's `hnsw.ef_search`."""
_CHUNKS = """
INSERT INTO chunks (index_id, document, text, headings, spans, length, terms)
SELECT ?, ?, 'chunk ' || n, '[]', '[]', 0, '' FROM generate_series(1, ?::int) n
"""

Find = Callable[["Floats"], list[int]]


def made(count: int, dimensions: int, inner: int) -> "tuple[Floats, Floats]":
    """Vectors, and questions near to some of them."""
    chance = np.random.default_rng(0)
    rows = chance.normal(size=(count, inner)) @ chance.normal(size=(inner, dimensions))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    noise = chance.normal(size=(QUESTIONS, dimensions)) * NOISE / dimensions**0.5
    asked = rows[chance.choice(count, QUESTIONS, replace=False)] + noise
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    return rows.astype(np.float32), asked.astype(np.float32)


@contextmanager
def store_of(storage: PostgresStorage, rows: "Floats") -> Iterator[tuple[Session, PostgresTables]]:
    """One with these vectors, and a chunk for each."""
    with storage.database.session() as session:
        session.change("DROP TABLE IF EXISTS pgvectors")
        index_id = index_of(session, "benchmark", create=True)
        assert index_id is not None
        document = session.row(
            "INSERT INTO documents (index_id, source, name, format, title, sha256, chunk_size,"
            " hidden_characters, added) VALUES (?, 'a', 'a', 'txt', 'a', '', 1, 0, '') RETURNING id",
            [index_id],
        )["id"]
        session.change(_CHUNKS, [index_id, document, len(rows)])
        tables = PostgresTables(session, index_id, "benchmark")
        stored, source = StoredVectors(tables), VectorSource("made", "", "", rows.shape[1])
        stored.begin(source)
        for at in range(0, len(rows), PUT):
            assert stored.put(source, stored.missing(PUT), rows[at : at + PUT])
        yield session, tables
    storage.remove("benchmark")


def measure(name: str, find: Find, asked: "Floats", wanted: list[list[int]]) -> list[list[int]]:
    """A line: median and 99% of a question's time, and the share of what is wanted that is found."""
    times, found = [], []
    for vector in asked:
        began = time.perf_counter()
        found.append(find(vector))
        times.append((time.perf_counter() - began) * 1000)
    shares = [len({*a} & {*b}) / len(b) for a, b in zip(found, wanted or found, strict=True)]
    late = statistics.quantiles(times, n=100)[-1]
    times_told = f"{statistics.median(times):7.1f} ms (99%: {late:.1f} ms)"
    print(f"{name:34} {times_told}, {statistics.mean(shares):.1%} found", flush=True)
    return found


def compare(storage: PostgresStorage, rows: "Floats", asked: "Floats", hnsw: bool) -> None:
    """The same questions of one store, in memory and in the database."""
    with store_of(storage, rows) as (session, tables):
        cache = VectorCache()
        began = time.perf_counter()
        in_memory = neighbours(tables, cache)
        print(f"{'read into memory, after a change':34} {(time.perf_counter() - began) * 1000:7.0f} ms")
        wanted = measure("in memory", lambda vector: ids(in_memory.nearest(vector, NEAREST, None)), asked, [])
        began = time.perf_counter()
        tables.vectors.arrange()
        print(f"{'copied into pgvector':34} {len(rows) / (time.perf_counter() - began):7,.0f} vectors/s")
        session.change("VACUUM ANALYZE pgvectors")
        whole = copies(session, index_of(session, "benchmark", create=False) or 0)
        assert whole is not None
        measure("pgvector", lambda vector: ids(whole.nearest(vector, NEAREST, None)), asked, wanted)
        if hnsw:
            by_hnsw(session, whole, asked, wanted)


def by_hnsw(session: Session, whole: Copies, asked: "Floats", wanted: list[list[int]]) -> None:
    """pgvector's approximate index, with its own defaults."""
    of_size = f"{whole.schema}.vector({asked.shape[1]})"
    near = f"(embedding::{of_size}) OPERATOR({whole.schema}.<#>) ?::float4[]::{of_size}"
    began = time.perf_counter()
    session.change("SET maintenance_work_mem = '1GB'")
    session.change(
        f"CREATE INDEX made ON pgvectors USING hnsw ((embedding::{of_size}) {whole.schema}.vector_ip_ops)"
    )
    print(f"{'HNSW made':34} {time.perf_counter() - began:7.0f} s")
    query = f"SELECT chunk FROM pgvectors ORDER BY {near} LIMIT {NEAREST}"  # noqa: S608
    for candidates in CANDIDATES:
        session.change(f"SET hnsw.ef_search = {candidates}")
        name = f"HNSW, {candidates} candidates"
        measure(
            name,
            lambda vector: [row["chunk"] for row in session.rows(query, [vector.tolist()])],
            asked,
            wanted,
        )
    session.change("DROP INDEX made")


def ids(found: list[tuple[int, float]]) -> list[int]:
    """Without the cosines."""
    return [chunk for chunk, _ in found]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--hnsw", action="store_true")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        postgres(Path(directory), with_pgvector()) as url,
        closing(PostgresStorage(url)) as storage,
    ):
        with storage.database.session() as session:
            session.change("CREATE EXTENSION vector SCHEMA public")
            version = session.row("SELECT extversion FROM pg_extension WHERE extname = 'vector'")[0]
        print(f"pgvector {version}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        for inner in [*INNER, options.dimensions] if options.hnsw else [options.dimensions]:
            print(f"\n{options.vectors:,} vectors of {options.dimensions} numbers, near {inner} dimensions")
            rows, asked = made(options.vectors, options.dimensions, inner)
            compare(storage, rows, asked, options.hnsw)


if __name__ == "__main__":
    main()
