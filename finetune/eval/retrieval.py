"""How often the passage that answers a question is found: recall, reciprocal rank and nDCG.

Each question has one passage that answers it. So recall at k is the share of questions whose passage is among
the first k, and nDCG is the mean of 1 / log2(rank + 1). A passage beyond rank `DEPTH` counts as not found.
Passages are indexed whole, as `kodolly documents` indexes chunks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from common.errors import UserError
from documents.chunks import Chunk, Span
from documents.document import Document
from documents.search.store import Store, open_store
from documents.search.terms import terms_version
from finetune.eval.intervals import Metric
from finetune.eval.kobest_data import read_table
from finetune.eval.korquad import read_questions
from finetune.eval.report import EvalReport, Sample, Score, hash_texts, now, score, versions
from finetune.rows.question import QuestionRow, read_question_rows

DEPTH = 10


@dataclass(frozen=True)
class RetrievalSet:
    """Passages without duplicates, and questions with the index of the passage that answers each."""

    passages: tuple[str, ...]
    asked: tuple[tuple[str, int], ...]


def load_questions(path: Path, limit: int | None = None) -> RetrievalSet:
    """Read KoBEST's BoolQ (.tsv), KorQuAD 1.0 (.json), or lines of `{"question", "passage"}` (.jsonl), whose
    `negatives` are passages, too.

    `limit` is a number of questions; all passages of the file are searched in any case. Raises UserError.
    """
    rows = _rows(path)
    if not rows:
        raise UserError(f"{path} holds no questions.")
    return retrieval_set(rows, limit=limit)


def retrieval_set(
    rows: Sequence[QuestionRow], beside: Sequence[str] = (), limit: int | None = None
) -> RetrievalSet:
    """The questions of `rows`, or the first `limit`, asked of all their passages and of those beside."""
    texts = [*(row.passage for row in rows), *(text for row in rows for text in row.negatives), *beside]
    numbers = {text: at for at, text in enumerate(dict.fromkeys(texts))}
    return RetrievalSet(tuple(numbers), tuple((row.question, numbers[row.passage]) for row in rows[:limit]))


def evaluate_retrieval(questions: RetrievalSet, task: str) -> EvalReport:
    """Index the passages in a temporary store, search for every question, and score the ranks. Raises
    UserError."""
    with TemporaryDirectory() as directory, open_store(Path(directory) / "passages.db", create=True) as store:
        add_passages(store, questions.passages)
        found = [[number for number, _ in ranked(store, question)] for question, _ in questions.asked]
    return report_of(
        questions,
        found,
        task,
        "kodolly documents",
        terms_version(),
        versions("mecab-python3", "python-mecab-ko-dic"),
    )


def report_of(
    questions: RetrievalSet,
    found: Sequence[Sequence[int]],
    task: str,
    model: str,
    source: str,
    libraries: dict[str, str],
) -> EvalReport:
    """The report on what was found: for each question numbers of passages, the best first."""
    ranks = [_rank(numbers, gold) for numbers, (_, gold) in zip(found, questions.asked, strict=True)]
    missed = [at for at, rank in enumerate(ranks) if rank != 1]
    return EvalReport(
        kind="retrieval",
        model=model,
        source=source,
        scores=scores(task, ranks, [question for question, _ in questions.asked]),
        settings={"passages": len(questions.passages), "depth": DEPTH},
        samples=[_sample(questions, at, found[at]) for at in missed[:20]],
        created=now(),
        versions=libraries,
    )


def add_passages(store: Store, passages: Sequence[str]) -> None:
    """Store the passages as the chunks of one document, numbered from 0."""
    chunks = [Chunk(text, (Span(number, 0, len(text)),), ()) for number, text in enumerate(passages)]
    store.add("passages", Document("passages", "text", "", "passages", ()), chunks, 0)


def ranked(store: Store, question: str) -> list[tuple[int, float]]:
    """(index, score) of the passages that were found, best first."""
    hits = store.search(question, DEPTH)
    return [(hit.spans[0].page or 0, hit.score) for hit in hits]


def scores(task: str, ranks: Sequence[int | None], asked: Sequence[str]) -> list[Score]:
    """Recall at 1, 5 and 10, MRR and nDCG of ranks, which count from 1; None: not among the first `DEPTH`.

    asked: the questions, whose hash marks the scores as comparable."""
    columns: dict[Metric, list[float]] = {
        "recall_at_1": [float(rank is not None and rank <= 1) for rank in ranks],
        "recall_at_5": [float(rank is not None and rank <= 5) for rank in ranks],
        "recall_at_10": [float(rank is not None and rank <= 10) for rank in ranks],
        "mrr": [0.0 if rank is None else 1 / rank for rank in ranks],
        "ndcg": [0.0 if rank is None else 1 / math.log2(rank + 1) for rank in ranks],
    }
    same = hash_texts(asked)
    return [score(task, metric, [[value] for value in values], same) for metric, values in columns.items()]


def _rank(numbers: Sequence[int], gold: int) -> int | None:
    return numbers.index(gold) + 1 if gold in numbers else None


def _sample(questions: RetrievalSet, at: int, found: Sequence[int]) -> Sample:
    """A question whose passage did not come first, with the passage that did."""
    question, gold = questions.asked[at]
    first = questions.passages[found[0]] if found else ""
    return Sample(question=question, wanted=questions.passages[gold], answer=first)


def _rows(path: Path) -> list[QuestionRow]:
    suffix = path.suffix.lower()
    if suffix == ".tsv":
        return [
            QuestionRow(str(item["question"]), str(item["paragraph"])) for item in read_table(path, "boolq")
        ]
    if suffix == ".json":
        return [QuestionRow(item.question, item.context) for item in read_questions(path)]
    if suffix == ".jsonl":
        return read_question_rows(path)
    raise UserError(
        f"{path} is no file of questions.",
        hint="It is KoBEST's BoolQ (.tsv), KorQuAD 1.0 (.json) or .jsonl with `question` and `passage`.",
    )
