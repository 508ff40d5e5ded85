"""Reports of several models side by side: before and after training, item by item."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import UserError
from finetune.eval.intervals import LOWER_IS_BETTER, Estimate, difference
from finetune.eval.published import published_macro_f1
from finetune.eval.report import EvalReport, Sample, Score, write_json

SHOWN_SAMPLES = 10
SHORTENED = 300
"""Characters of an answer in the Markdown table; the JSON files have all of it."""


@dataclass(frozen=True)
class Row:
    """One figure of every model."""

    task: str
    metric: str
    shots: int | None
    scores: Mapping[str, Score]
    """By model; a model without this figure is missing."""
    differences: Mapping[str, Estimate]
    """To the first model; only where both answered the same items."""
    published: Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """All figures, and the same questions with each model's answer."""

    models: tuple[str, ...]
    """The first is `before`."""
    rows: tuple[Row, ...]
    answers: tuple[tuple[str, str, Mapping[str, str]], ...]
    """(question, wanted, answer by model)."""
    notes: tuple[str, ...]


def compare(reports: Sequence[EvalReport], before: str | None = None) -> Comparison:
    """`before`, by default the first report's model, is what the others are set against. Raises UserError."""
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
        shots = report.settings.get("shots")
        for one in report.scores:
            place = figures.setdefault((one.task, one.metric, shots), {})
            if report.model in place:
                raise UserError(f"Two reports of {report.model} both have {one.metric} of {one.task}.")
            place[report.model] = one
    ordered = sorted(figures, key=lambda key: list(figures).index(key))
    return Comparison(
        models=tuple(models),
        rows=tuple(_row(key, figures[key], models[0]) for key in ordered),
        answers=tuple(_answers(reports, models)),
        notes=tuple(dict.fromkeys(note for report in reports for note in report.notes)),
    )


def write_comparison(comparison: Comparison, directory: Path) -> list[Path]:
    """comparison.md, comparison.json and a plot of each metric. Raises UserError."""
    from finetune.eval.comparison_plots import plot_comparison

    try:
        directory.mkdir(parents=True, exist_ok=True)
        plots = plot_comparison(comparison, directory)
        text = directory / "comparison.md"
        text.write_text(to_markdown(comparison, [path.name for path in plots]), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{directory} cannot be written: {error.strerror}.") from error
    content = directory / "comparison.json"
    write_json(content, to_json(comparison))
    return [text, content, *plots]


def to_markdown(comparison: Comparison, plots: Sequence[str] = ()) -> str:
    """The tables as GitHub shows them."""
    before, *after = comparison.models
    lines = [f"# {' / '.join(comparison.models)}", ""]
    lines += [
        f"Before: **{_cell(before)}**. Values with their 95% intervals; a difference in bold lies on one"
    ]
    lines += ["side of zero with its whole interval (paired bootstrap over the same items).", ""]
    heading = ["Task", "Metric", "Shots", "n", before]
    for model in after:
        heading += [model, "difference"]
    lines += _table(heading, [_cells(row, comparison.models) for row in comparison.rows])
    lines += ["", *_published_lines(comparison)]
    for plot in plots:
        lines += [f"![{plot}]({plot})", ""]
    if comparison.answers:
        lines += ["## Answers", ""]
        body = [
            [question, wanted, *(given.get(model, "") for model in comparison.models)]
            for question, wanted, given in comparison.answers
        ]
        lines += [*_table(["Question", "Wanted", *comparison.models], body), ""]
    if comparison.notes:
        lines += ["## Notes", "", *(f"- {note}" for note in comparison.notes), ""]
    return "\n".join(lines)


def to_json(comparison: Comparison) -> dict[str, Any]:
    """The same figures for programs."""
    return {
        "models": list(comparison.models),
        "rows": [
            {
                "task": row.task,
                "metric": row.metric,
                "shots": row.shots,
                "scores": {
                    model: {"value": one.value, "low": one.low, "high": one.high, "n": one.n}
                    for model, one in row.scores.items()
                },
                "differences": {
                    model: {"value": one.value, "low": one.low, "high": one.high}
                    for model, one in row.differences.items()
                },
                "published": dict(row.published),
            }
            for row in comparison.rows
        ],
        "answers": [
            {"question": question, "wanted": wanted, "answers": dict(given)}
            for question, wanted, given in comparison.answers
        ],
        "notes": list(comparison.notes),
    }


def _row(key: tuple[str, str, int | None], scores: dict[str, Score], before: str) -> Row:
    task, metric, shots = key
    first = scores.get(before)
    differences = {
        model: difference(one.metric, first.items, one.items)
        for model, one in scores.items()
        if first is not None and model != before and _same_items(first, one)
    }
    published = published_macro_f1(task, shots) if metric == "macro_f1" and shots is not None else {}
    return Row(task, metric, shots, scores, differences, published)


def _same_items(one: Score, other: Score) -> bool:
    return bool(one.items and one.items_hash) and (
        (one.items_hash, len(one.items)) == (other.items_hash, len(other.items))
    )


def _answers(reports: Sequence[EvalReport], models: list[str]) -> list[tuple[str, str, dict[str, str]]]:
    """Questions that every model was asked."""
    asked: dict[tuple[str, str], dict[str, str]] = {}
    for report in reports:
        for sample in report.samples:
            asked.setdefault(_question(sample), {})[report.model] = sample.answer
    shared = [(*key, given) for key, given in asked.items() if len(given) == len(models)]
    return shared[:SHOWN_SAMPLES]


def _question(sample: Sample) -> tuple[str, str]:
    return sample.question, sample.wanted


def _cells(row: Row, models: Sequence[str]) -> list[str]:
    n = max(one.n for one in row.scores.values())
    cells = [row.task, row.metric.replace("_", " "), "" if row.shots is None else str(row.shots), str(n)]
    for place, model in enumerate(models):
        one = row.scores.get(model)
        cells.append(f"{one.value:.4f} ({one.low:.3f} to {one.high:.3f})" if one else "")
        if place:
            cells.append(_difference_cell(row.differences.get(model), row.metric))
    return cells


def _difference_cell(change: Estimate | None, metric: str) -> str:
    if change is None:
        return ""
    text = f"{change.value:+.4f} ({change.low:+.3f} to {change.high:+.3f})"
    if change.low <= 0 <= change.high:
        return text
    better = (change.value < 0) == (metric in LOWER_IS_BETTER)
    return f"**{text}** {'better' if better else 'worse'}"


def _published_lines(comparison: Comparison) -> list[str]:
    rows = [row for row in comparison.rows if row.published]
    if not rows:
        return []
    names = list(rows[0].published)
    body = [
        [
            row.task,
            str(row.shots),
            *(f"{row.scores[model].value:.4f}" if model in row.scores else "" for model in comparison.models),
            *(f"{row.published[name]:.4f}" for name in names),
        ]
        for row in rows
    ]
    return [
        "## Beside the published figures (macro-F1)",
        "",
        "Published are the model cards' figures of the test tables, measured with an older harness: read",
        "them as orders of magnitude.",
        "",
        *_table(["Task", "Shots", *comparison.models, *names], body),
        "",
    ]


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [heading, ["---"] * len(heading), *rows]
    return [f"| {' | '.join(_cell(text) for text in line)} |" for line in lines]


def _cell(text: str) -> str:
    """One line that can't end the cell or start markup."""
    short = text if len(text) <= SHORTENED else text[: SHORTENED - 1] + "…"
    return short.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", "<br>")
