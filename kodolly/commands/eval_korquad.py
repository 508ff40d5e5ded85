"""`kodolly eval korquad`."""

from pathlib import Path

import click

from kodolly.eval_target import offline, opened_target, require_libraries, show, target_options

EPILOG = """\b
Examples:
  kodolly eval korquad models/my-dolly KorQuAD_v1.0_dev.json
  kodolly eval korquad my-dolly KorQuAD_v1.0_dev.json --url http://127.0.0.1:8000 --limit 500
  kodolly eval korquad models/my-dolly KorQuAD_v1.0_dev.json --ask '{question}' --output dolly.json
"""


@click.command("korquad", epilog=EPILOG)
@target_options
@click.argument("questions", type=click.Path(path_type=Path))
@click.option("--ask", help="Instruction with {question} in it; the paragraph follows.")
@click.option("--template", help="Chat template of a checkpoint that has none, e.g. dolly.")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many questions.")
def command(
    model: str,
    url: str | None,
    output: Path | None,
    questions: Path,
    ask: str | None,
    template: str | None,
    limit: int | None,
) -> None:
    """Ask MODEL, a checkpoint directory or with --url a served model, the QUESTIONS of a KorQuAD 1.0 file.

    Exact match and character F1 are those of the official script; `contains` says how often the answer is
    somewhere in what a talkative model wrote.
    """
    require_libraries("numpy")
    from finetune.eval.korquad import ASK, evaluate_korquad, read_questions

    offline()
    items = read_questions(questions, limit)
    with opened_target(model, url, template) as target:
        show(evaluate_korquad(target, items, ask or ASK), output)
