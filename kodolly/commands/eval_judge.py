"""`kodolly eval judge`."""

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from common.errors import UserError
from kodolly.echo import echo_line
from kodolly.eval_target import offline, opened_target, require_libraries
from kodolly.finite_range import FiniteRange
from kodolly.operate.table import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finetune.eval.judge import JudgedAnswers, JudgeVerdict, Mode

OPENAI = "https://api.openai.com/v1"
EPILOG = """\b
Examples:
  kodolly eval judge my-base my-dolly judged --url http://127.0.0.1:8000 --judge gpt-4o
  kodolly eval judge models/my-dolly judged --mode single --judge gpt-4o-mini
  OPENAI_BASE_URL=http://127.0.0.1:8000/v1 kodolly eval judge a b judged --url http://127.0.0.1:8000 --judge c
"""


@click.command("judge", epilog=EPILOG)
@click.argument("models", nargs=-1, required=True)
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--judge", required=True, metavar="MODEL", help="The judge's name at OPENAI_BASE_URL.")
@click.option("--url", help="Ask served MODELS at this OpenAI-compatible URL; its key: KODOLLY_API_KEY.")
@click.option(
    "--mode",
    type=click.Choice(["single", "pairwise", "both"]),
    default="both",
    show_default=True,
    help="Marks, preferences between two models, or both.",
)
@click.option(
    "--questions", type=click.Path(path_type=Path), help="JSONL.  [default: 48 that come with kodolly]"
)
@click.option("--template", help="Chat template of checkpoints that have none, e.g. dolly.")
@click.option("--max-tokens", type=click.IntRange(1), default=1024, show_default=True, help="Of an answer.")
@click.option("--temperature", type=FiniteRange(0, 2), default=0.0, show_default=True, help="Of the answers.")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many questions.")
@click.option(
    "--concurrency", type=click.IntRange(1), default=8, show_default=True, help="Judge requests at once."
)
def command(
    models: tuple[str, ...],
    output: Path,
    judge: str,
    url: str | None,
    mode: str,
    questions: Path | None,
    template: str | None,
    max_tokens: int,
    temperature: float,
    limit: int | None,
    concurrency: int,
) -> None:
    """Let a judge model mark the answers of MODELS to Korean questions, and compare them in pairs.

    MODELS are checkpoint directories, or with --url names of served models. The judge is any
    OpenAI-compatible model: OPENAI_BASE_URL (default: OpenAI's) says where, OPENAI_API_KEY is its key. The
    answers go to that server. Every two answers are judged in both orders; verdicts that change with the
    order count as ties. OUTPUT keeps every answer and every verdict, and a stopped run goes on with them.
    """
    require_libraries("numpy")
    from finetune.eval.judge import QUESTIONS, collect_answers, collect_verdicts, load_questions
    from finetune.eval.served_model import ServedModel
    from finetune.progress import terminal_report

    modes = _modes(mode, len(models))
    offline()
    asked = load_questions(questions or QUESTIONS)[:limit]
    judge_url, judge_key = _judge_access()
    report, answers = terminal_report(), {}
    for model in models:
        with opened_target(model, url, template) as target:
            if target.name in answers:
                raise UserError(f"Two models are called {target.name!r}.")
            answers[target.name] = collect_answers(
                target, asked, output, report, max_tokens=max_tokens, temperature=temperature
            )
    with closing(ServedModel(judge_url, judge, judge_key, concurrency)) as the_judge:
        verdicts = collect_verdicts(the_judge, asked, answers, modes, output, report)
    _write(verdicts, answers, judge, output)


def _modes(mode: str, models: int) -> "list[Mode]":
    """What the judge is asked for. Raises UserError for pairs of one model."""
    if mode == "pairwise" and models < 2:
        raise UserError("A comparison in pairs takes two models.")
    if mode == "single" or models < 2:
        return ["single"]
    return ["pairwise"] if mode == "pairwise" else ["single", "pairwise"]


def _judge_access() -> tuple[str, str]:
    """The judge's URL and its key. Raises UserError where OpenAI's own server needs a key."""
    url = os.environ.get("OPENAI_BASE_URL") or OPENAI
    key = os.environ.get("OPENAI_API_KEY", "")
    if url == OPENAI and not key:
        raise UserError(
            "The judge's key is missing.",
            hint="Put it into OPENAI_API_KEY; OPENAI_BASE_URL names another server.",
        )
    return url, key


def _write(
    verdicts: "Sequence[JudgeVerdict]",
    answers: "dict[str, dict[str, JudgedAnswers]]",
    judge: str,
    output: Path,
) -> None:
    from finetune.eval.judge_results import mark_reports, summary
    from finetune.eval.report import write_json

    for marked in mark_reports(verdicts, answers):
        path = output / f"{marked.model.replace('/', '--')}.json"
        write_json(path, marked)
        echo_line(f"Report: {path}", err=True)
    content = summary(verdicts, judge)
    write_json(output / "summary.json", content)
    _show(content)


def _show(content: dict[str, Any]) -> None:
    if marks := content["marks"]:
        lines = [["model", "mark", "95% interval"]]
        lines += [
            [model, f"{m['value']:.2f}", f"{m['low']:.2f} to {m['high']:.2f}"] for model, m in marks.items()
        ]
        for line in table(lines, right=(1,)):
            click.echo(line)
    if content["pairs"]:
        lines = [["model", "against", "won", "lost", "tied", "win rate", "95% interval"]]
        for pair in content["pairs"]:
            rate = pair["win_rate"]
            figures = (
                [f"{rate['value']:.1%}", f"{rate['low']:.1%} to {rate['high']:.1%}"] if rate else ["", ""]
            )
            counts = [str(pair[name]) for name in ("wins", "losses", "ties")]
            lines.append([pair["first"], pair["second"], *counts, *figures])
        for line in table(lines, right=(2, 3, 4, 5)):
            click.echo(line)
    trust = content["trust"]
    echo_line(f"{trust['unread']} of {trust['verdicts']} verdicts could not be read.")
    if trust["first_rate"]:
        first = trust["first_rate"]
        echo_line(
            f"The answer that stood first won {first['value']:.1%} of {trust['decided']} decided verdicts "
            f"({first['low']:.1%} to {first['high']:.1%}); 50% is no position bias."
        )
    if trust["agreement"]:
        echo_line(f"Both orders agreed on {trust['agreement']['value']:.1%} of the answer pairs.")
