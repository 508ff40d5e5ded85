"""One page on a turn: what it learnt from, what changed, what each gate found, and what was decided."""

import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from common.errors import UserError
from finetune.data.load import rows_of_file
from finetune.eval.html_table import html_table
from finetune.files.whole import whole_file
from finetune.improve.gates import Gate
from finetune.improve.measure import Measured
from finetune.improve.rows import QUESTIONS
from finetune.rows.row import Row
from kodolly.improve.journal import Journal
from kodolly.improve.training import measured

FILE = "report.html"
SHOWN = 20
"""Answers before and after."""
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { border: 1px solid #8886; padding: .4rem .6rem; text-align: left; vertical-align: top; }
td { overflow-wrap: anywhere; white-space: pre-wrap; }
.passed { color: #17692b; } .failed { color: #a3151a; font-weight: bold; }
@media (prefers-color-scheme: dark) { body { background: #16181c; color: #e8e8e8; }
  .passed { color: #74d68c; } .failed { color: #ff8a8a; } }
"""
GATE_MARKS = {True: ("passed", "passed"), False: ("failed", "not passed"), None: ("", "not measured")}


def write_report(journal: Journal, decision: str, words: str) -> Path:
    """`report.html` in the turn's directory, whole or not at all. Raises UserError."""
    path = journal.directory / FILE
    with whole_file(path) as out:
        out.write(page(journal, decision, words).encode())
    return path


def page(journal: Journal, decision: str, words: str) -> str:
    """Everything in one file that fetches nothing; what people and models wrote is shown escaped."""
    plan = journal.content.plan
    new = str(journal.content.steps.get("merge", ""))
    title = f"{plan.name}: {journal.directory.name}, {decision}"
    parts = [
        f"<h1>{_text(title)}</h1><p>{_text(words)}.</p>",
        "<h2>Checkpoints</h2>",
        html_table(("", "Checkpoint"), [("before", plan.checkpoint), ("after", new)]),
        "<h2>What it learnt from</h2>",
        html_table(("What", "How much"), _data(journal)),
        "<h2>Gates</h2>",
        _gates([Gate(**gate) for gate in journal.content.steps.get("gates", [])]),
        "<h2>Answers before and after</h2>",
        _answers(journal),
    ]
    head = f'<meta charset="utf-8"><title>{_text(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="ko"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _data(journal: Journal) -> Iterable[tuple[str, str]]:
    plan = journal.content.plan
    yield "method", f"{plan.method}: {plan.why}"
    for what, count in plan.counts.items():
        yield what.replace("_", " "), str(count)
    yield "earlier rows mixed in", str(plan.replayed)
    for reason, count in plan.left_out.items():
        yield f"left out: {reason}", str(count)
    for step, at in journal.content.at.items():
        yield f"{step}: after", f"{at - journal.content.begun:.0f} s"


def _gates(found: Sequence[Gate]) -> str:
    rows = []
    for gate in found:
        style, mark = GATE_MARKS[gate.passed]
        name, said = _text(gate.name.replace("_", " ")), _text(gate.words)
        rows.append(f'<tr><td>{name}</td><td class="{style}">{mark}</td><td>{said}</td></tr>')
    return f"<table><tr><th>Gate</th><th></th><th>Found</th></tr>{''.join(rows)}</table>"


def _answers(journal: Journal) -> str:
    try:
        before, after = measured(journal.directory)
        rows = [row for row, _ in rows_of_file(journal.directory / QUESTIONS, Row)]
    except (OSError, UserError):
        return "<p>Nothing was measured.</p>"
    heading = ("Question", "Preferred by people", "Before", "After", "Which")
    return html_table(heading, _side_by_side(rows, before, after))


def _side_by_side(rows: Sequence[Row], before: Measured, after: Measured) -> Iterable[Sequence[str]]:
    for row, was, now in list(zip(rows, before.answers, after.answers, strict=True))[:SHOWN]:
        asked = f"{row.instruction}\n\n{row.context}".strip()
        yield asked, row.response, was, now, str(row.meta.get("from", ""))


def _text(text: str) -> str:
    return html.escape(text)
