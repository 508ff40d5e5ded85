"""An HTML page about a model: licence, origin, training data, and its scores with intervals."""

import html
from collections.abc import Iterable
from datetime import UTC, datetime

from common.checkpoint import CheckpointCard
from finetune.eval.compare import ComparedFigure, ModelComparison
from finetune.eval.html_table import html_table
from finetune.eval.intervals import LOWER_IS_BETTER
from finetune.eval.report import Score
from finetune.eval.training_curve import TrainingCurve, draw

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { border: 1px solid #8886; padding: .4rem .6rem; text-align: left; vertical-align: top; }
td { overflow-wrap: anywhere; white-space: pre-wrap; }
svg { width: 12rem; height: 1rem; } svg.curve { width: 100%; height: auto; }
polyline { fill: none; stroke: #1f6feb; stroke-width: 2; } polyline.validation { stroke-dasharray: 6 4; }
polyline.validation { stroke: #b35900; } text { font-size: 12px; fill: currentColor; }
 rect { fill: #1f6feb; } line { stroke: currentColor; stroke-width: 2; }
.better { color: #17692b; font-weight: bold; } .worse { color: #a3151a; font-weight: bold; }
@media (prefers-color-scheme: dark) { body { background: #16181c; color: #e8e8e8; }
  .better { color: #74d68c; } .worse { color: #ff8a8a; } }
"""
WIDTH = 200
"""Length of the bar for a score of 1, in the drawing's units."""


def model_page(card: CheckpointCard, comparison: ModelComparison, curve: TrainingCurve | None = None) -> str:
    """The page, which fetches nothing; what people and models wrote is escaped."""
    parts = [f"<h1>{_text(card.name)}</h1>", "<h2>Model</h2>", html_table(("", ""), _facts(card))]
    parts += ["<h2>What it learnt from</h2>", html_table(("File", "Rows", "SHA-256"), _data(card))]
    parts += ["<h2>Training</h2>", draw(curve)] if curve else []
    parts += ["<h2>Scores</h2>", _scores(comparison)]
    parts += [f"<p>{_text(note)}</p>" for note in comparison.notes]
    parts += ["<h2>Answers</h2>", _answers(comparison)] if comparison.answers else []
    head = f'<meta charset="utf-8"><title>{_text(card.name)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="ko"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _facts(card: CheckpointCard) -> Iterable[tuple[str, str]]:
    yield "licence", card.licence
    yield "base", f"{card.base_model or 'none'} ({card.base_revision or 'no revision'})"
    yield "method", card.method
    if card.template_hash:
        yield "chat template", f"{card.template} ({card.template_hash[:12]})"
    yield "context", f"{card.context_length} tokens"
    yield "weights", f"{card.parameters:,} in {card.dtype}"
    yield "made", datetime.fromtimestamp(card.created, UTC).isoformat(timespec="minutes")
    for name, value in card.metrics.items():
        yield name.replace("_", " "), f"{value:g}"
    for source in card.sources:
        yield "merged from", f"{source.name} ({source.sha256[:12]}), {source.licence or 'no licence told'}"


def _data(card: CheckpointCard) -> Iterable[tuple[str, str, str]]:
    for source in card.data:
        yield source.path, str(source.rows), source.sha256[:12]


def _scores(comparison: ModelComparison) -> str:
    lines = []
    for row in comparison.rows:
        shots = "" if row.shots is None else f", {row.shots}-shot"
        name = _text(f"{row.task}: {row.metric.replace('_', ' ')}{shots}")
        for model, score in row.scores.items():
            cells = [name, _text(model), _bar(score), _figure(score), str(score.n)]
            lines.append(f"<tr><td>{'</td><td>'.join(cells)}</td>{_difference(row, model)}</tr>")
    first = comparison.models[0]
    heading = ("Task", "Model", "", "Score (95% interval)", "Items", f"Difference to {first}")
    return f"<table><tr>{''.join(f'<th>{_text(cell)}</th>' for cell in heading)}</tr>{''.join(lines)}</table>"


def _figure(score: Score) -> str:
    return f"{score.value:.4f} ({score.low:.4f} to {score.high:.4f})"


def _bar(score: Score) -> str:
    """A bar with its interval; '' for figures that are no shares."""
    if not 0 <= score.low <= score.high <= 1:
        return ""
    low, high = score.low * WIDTH, score.high * WIDTH
    return (
        f'<svg viewBox="0 0 {WIDTH} 16" role="img" aria-label="{score.value:.2f}">'
        f'<rect y="3" width="{score.value * WIDTH:.1f}" height="10"/>'
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="8" y2="8"/></svg>'
    )


def _difference(row: ComparedFigure, model: str) -> str:
    found = row.differences.get(model)
    if found is None:
        return "<td></td>"
    lower = row.metric in LOWER_IS_BETTER
    sure = found.low > 0 or found.high < 0
    style = "" if not sure else "better" if (found.low > 0) != lower else "worse"
    return f'<td class="{style}">{found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f})</td>'


def _answers(comparison: ModelComparison) -> str:
    heading = ("Question", "Wanted", *comparison.models)
    return html_table(
        heading,
        [
            (question, wanted, *(answers.get(model, "") for model in comparison.models))
            for question, wanted, answers in comparison.answers
        ],
    )


def _text(text: str) -> str:
    return html.escape(text)
