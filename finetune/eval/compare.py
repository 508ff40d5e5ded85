"""Reports of several models side by side: before and after training, compared item by item."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.errors import UserError
from finetune.eval.intervals import Estimate, difference
from finetune.eval.published import published_macro_f1
from finetune.eval.report import EvalReport, Sample, Score

SHOWN_SAMPLES = 10


@dataclass(frozen=True)
class ComparedFigure:
    """One figure, for every model."""

    task: str
    metric: str
    shots: int | None
    scores: Mapping[str, Score]
    """Model -> its score; a model without this figure is missing."""
    differences: Mapping[str, Estimate]
    """Model -> its score minus the first model's, where both answered the same items."""
    published: Mapping[str, float]


@dataclass(frozen=True)
class ModelComparison:
    """All figures, and the questions that all models were asked, with their answers."""

    models: tuple[str, ...]
    """Names of the models; the first is the one before training."""
    rows: tuple[ComparedFigure, ...]
    answers: tuple[tuple[str, str, Mapping[str, str]], ...]
    """(question, reference answer, model -> its answer)."""
    notes: tuple[str, ...]


def compare(reports: Sequence[EvalReport], before: str | None = None) -> ModelComparison:
    """Set the models of `reports` against the model `before`, by default the first report's. Raises UserError
    when there is no such model, or when reports of one figure were made under different settings."""
    models = list(dict.fromkeys(report.model for report in reports))
    if before is not None:
        if before not in models:
            raise UserError(f"No report is of {before!r}.", hint=f"They are of: {', '.join(models)}.")
        models = [before, *(model for model in models if model != before)]
    if len(models) < 2:
        raise UserError(
            "A comparison takes reports of two models.",
            hint="Reports are told apart by the model's name: its directory's, or the served one.",
        )
    figures: dict[tuple[str, str, int | None], dict[str, Score]] = {}
    for report in reports:
        said = report.settings.get("shots")
        shots = said if isinstance(said, int) else None
        for one in report.scores:
            place = figures.setdefault((one.task, one.metric, shots), {})
            if report.model in place:
                raise UserError(f"Two reports of {report.model} both have {one.metric} of {one.task}.")
            place[report.model] = one
    ordered = sorted(figures, key=lambda key: list(figures).index(key))
    return ModelComparison(
        models=tuple(models),
        rows=tuple(_row(key, figures[key], models[0]) for key in ordered),
        answers=tuple(_answers(reports, models)),
        notes=tuple(dict.fromkeys(note for report in reports for note in report.notes)),
    )


def _row(key: tuple[str, str, int | None], scores: dict[str, Score], before: str) -> ComparedFigure:
    task, metric, shots = key
    first = scores.get(before)
    differences = {
        model: difference(one.metric, first.items, one.items)
        for model, one in scores.items()
        if first is not None and model != before and _same_items(first, one)
    }
    published = published_macro_f1(task, shots) if metric == "macro_f1" and shots is not None else {}
    return ComparedFigure(task, metric, shots, scores, differences, published)


def _same_items(one: Score, other: Score) -> bool:
    return bool(one.items and one.items_hash) and (
        (one.items_hash, len(one.items)) == (other.items_hash, len(other.items))
    )


def _answers(reports: Sequence[EvalReport], models: list[str]) -> list[tuple[str, str, dict[str, str]]]:
    """(question, reference answer, model -> its answer) for the questions that every model was asked."""
    asked: dict[tuple[str, str], dict[str, str]] = {}
    for report in reports:
        for sample in report.samples:
            asked.setdefault(_question(sample), {})[report.model] = sample.answer
    shared = [(*key, given) for key, given in asked.items() if len(given) == len(models)]
    return shared[:SHOWN_SAMPLES]


def _question(sample: Sample) -> tuple[str, str]:
    return sample.question, sample.wanted
