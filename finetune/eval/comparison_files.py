"""A comparison written as Markdown, JSON and plots."""

from collections.abc import Sequence
from pathlib import Path

from common.errors import UserError
from finetune.eval.compare import ComparedFigure, ModelComparison
from finetune.eval.intervals import LOWER_IS_BETTER, Estimate
from finetune.eval.report import write_json

SHORTENED = 300
"""Characters that the Markdown table shows of an answer; the JSON file has all of it."""


def write_comparison(comparison: ModelComparison, directory: Path) -> list[Path]:
    """Write comparison.md, comparison.json and a plot for each metric; returns their paths. Raises
    UserError."""
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


def to_markdown(comparison: ModelComparison, plots: Sequence[str] = ()) -> str:
    """The comparison as Markdown tables of GitHub's kind; plots: file names of the pictures to show."""
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


def to_json(comparison: ModelComparison) -> dict[str, object]:
    """The comparison as JSON, for programs."""
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


def _cells(row: ComparedFigure, models: Sequence[str]) -> list[str]:
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


def _published_lines(comparison: ModelComparison) -> list[str]:
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
    """The text as one line that can neither end a table cell nor begin markup."""
    short = text if len(text) <= SHORTENED else text[: SHORTENED - 1] + "…"
    return short.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", "<br>")
