"""Vectors of questions and passages, and how often the nearest passage is the right one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from finetune.eval.report import EvalReport, Score, versions
from finetune.eval.retrieval import DEPTH, RetrievalSet, report_of
from finetune.models.embedder import prompt_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from sentence_transformers import SentenceTransformer

    Floats = npt.NDArray[np.float32]

TOGETHER = 32
QUERY, PASSAGE = "query", "document"
"""What sentence-transformers calls the two kinds of text that a prompt stands before."""


def vectors(model: "SentenceTransformer", texts: Sequence[str], kind: str) -> "Floats":
    """A vector of length 1 for each text, of shape (texts, dimensions), with the prompt of its kind."""
    made: Floats = model.encode(
        list(texts), prompt=prompt_of(model, kind) or None, batch_size=TOGETHER, show_progress_bar=False
    )
    return made


def nearest(model: "SentenceTransformer", questions: RetrievalSet) -> list[list[int]]:
    """For each question the numbers of the `DEPTH` nearest passages, the nearest first."""
    passages = vectors(model, questions.passages, PASSAGE)
    asked = vectors(model, [question for question, _ in questions.asked], QUERY)
    return [(-(passages @ one)).argsort(kind="stable")[:DEPTH].tolist() for one in asked]


def evaluate_vectors(
    model: "SentenceTransformer", questions: RetrievalSet, task: str, name: str
) -> EvalReport:
    """The report on the vectors alone of a model called `name`."""
    found = nearest(model, questions)
    return report_of(questions, found, task, name, name, versions("sentence-transformers", "transformers"))


def shown(before: Sequence[Score], after: Sequence[Score]) -> str:
    """A line for each figure, before and after training, with its 95% interval."""
    lines = [
        f"  {one.metric:<12} {one.value:.3f} ({one.low:.3f}-{one.high:.3f}) -> "
        f"{two.value:.3f} ({two.low:.3f}-{two.high:.3f})"
        for one, two in zip(before, after, strict=True)
    ]
    return "\n".join(lines)


def model_name(directory: Path) -> str:
    """What a report calls the model in `directory`."""
    return directory.resolve().name
