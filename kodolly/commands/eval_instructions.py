"""`kodolly eval instructions`."""

from pathlib import Path

import click

from kodolly.eval_target import offline, opened_target, require_libraries, show, target_options

EPILOG = """\b
Examples:
  kodolly eval instructions models/my-dolly --output dolly-instructions.json
  kodolly eval instructions my-dolly --url http://127.0.0.1:8000 --questions mine.jsonl
"""


@click.command("instructions", epilog=EPILOG)
@target_options
@click.option(
    "--questions",
    type=click.Path(path_type=Path, exists=True),
    help='Lines of {"prompt": ..., "rules": {...}}.  [default: 30 of kodolly\'s own]',
)
@click.option("--template", help="Chat template of a checkpoint that has none, e.g. dolly.")
@click.option("--max-tokens", type=click.IntRange(1), default=512, show_default=True, help="Of an answer.")
def command(
    model: str,
    url: str | None,
    output: Path | None,
    questions: Path | None,
    template: str | None,
    max_tokens: int,
) -> None:
    """Measure how often MODEL keeps what Korean questions ask of an answer's form.

    MODEL is a checkpoint directory or with --url a served model. Lengths, lists, honorific endings, Hangul
    alone, JSON and more are checked by rules, without a judge; docs/evaluation.md has them all.
    """
    require_libraries("numpy")
    from finetune.eval.instructions import QUESTIONS, evaluate_instructions, read_instructions

    asked = read_instructions(questions or QUESTIONS)
    offline()
    with opened_target(model, url, template) as target:
        name = questions.stem if questions else "instructions"
        show(evaluate_instructions(target, asked, name, max_tokens), output)
