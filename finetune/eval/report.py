"""An evaluation's report: scores with their intervals, each item's result, settings and sample answers."""

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import UserError
from finetune.eval.intervals import Items, Metric, estimate
from finetune.files.whole import whole_file

EvalKind = Literal["kobest", "korquad", "rows", "judge", "retrieval", "ethics", "instructions", "task"]
SAMPLES = 20
"""How many answers a report shows in full."""


class Score(BaseModel):
    """One figure with its 95% interval."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    task: str
    """What was measured: `boolq`, `korquad`, the name of a file of rows, a category of questions."""
    metric: Metric
    value: float
    low: float
    high: float
    """Ends of the 95% interval (bootstrap over items)."""
    n: int
    items: list[list[float]] = Field(default_factory=list)
    """Every item's result, by which two models are compared item by item."""
    items_hash: str = ""
    """Hash of the questions: two scores with the same hash are of the same items in the same order."""


class Sample(BaseModel):
    """A question with its reference answer and the model's answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    question: str
    wanted: str = ""
    answer: str


class EvalReport(BaseModel):
    """The result of evaluating one model once."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: EvalKind
    model: str
    source: str
    """`checkpoint` or `served`."""
    scores: list[Score]
    settings: dict[str, object] = Field(default_factory=dict)
    """Everything in which two comparable evaluations must agree: shots, split, limit, prompt."""
    notes: list[str] = Field(default_factory=list)
    """What a reader has to know: items that were left out, an unusual split."""
    samples: list[Sample] = Field(default_factory=list)
    created: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of kodolly and of the libraries that decide the figures."""


def score(task: str, metric: Metric, items: Items, items_hash: str = "") -> Score:
    """The metric of `items` with its interval."""
    found = estimate(metric, items)
    return Score(
        task=task,
        metric=metric,
        value=found.value,
        low=found.low,
        high=found.high,
        n=len(items),
        items=[[round(float(number), 6) for number in item] for item in items],
        items_hash=items_hash,
    )


def hash_texts(texts: Iterable[str]) -> str:
    """A hash that is the same for the same texts in the same order."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:16]


def now() -> str:
    """The present time in UTC, in ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions(*packages: str) -> dict[str, str]:
    """Package -> version, for kodolly and those of `packages` that are installed."""
    return {name: importlib.metadata.version(name) for name in ("kodolly", *packages)}


def write_json(path: Path, content: BaseModel | Mapping[str, object]) -> None:
    """Write JSON in UTF-8 with Hangul unescaped; the file is there whole or not at all. Raises UserError."""
    value = content.model_dump() if isinstance(content, BaseModel) else content
    with whole_file(path) as file:
        file.write((json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode())


def read_report(path: Path) -> EvalReport:
    """Read a report that `write_json` has written. Raises UserError."""
    try:
        return EvalReport.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"The report {path} cannot be read: {error.strerror}.") from error
    except (ValidationError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is not a report of `kodolly eval`.", hint="Make one with its option --output."
        ) from error


def score_rows(scores: Sequence[Score]) -> list[list[str]]:
    """A table for the terminal: a heading, then a row for each score."""
    rows = [["task", "metric", "score", "95% interval", "n"]]
    for one in scores:
        rows.append(
            [one.task, one.metric, f"{one.value:.4f}", f"{one.low:.4f} to {one.high:.4f}", str(one.n)]
        )
    return rows
