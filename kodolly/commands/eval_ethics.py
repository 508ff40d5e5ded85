"""`kodolly eval ethics`."""

from pathlib import Path

import click

from kodolly.eval_target import offline, opened_target, require_libraries, show, target_options

EPILOG = """\b
Examples:
  kodolly eval ethics models/my-dolly ethics.json --moderation models/my-moderation --output dolly.json
  kodolly eval ethics my-dolly questions.jsonl --moderation models/my-moderation --url http://127.0.0.1:8000
"""


@click.command("ethics", epilog=EPILOG)
@target_options
@click.argument("questions", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--moderation",
    "moderation_dir",
    required=True,
    type=click.Path(path_type=Path),
    help="Moderation model (`kodolly train moderation`) that judges the answers.",
)
@click.option("--template", help="Chat template of a checkpoint that has none, e.g. dolly.")
@click.option("--max-tokens", type=click.IntRange(1), default=256, show_default=True, help="Of an answer.")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many questions.")
def command(
    model: str,
    url: str | None,
    output: Path | None,
    questions: Path,
    moderation_dir: Path,
    template: str | None,
    max_tokens: int,
    limit: int | None,
) -> None:
    """Measure how often MODEL, a checkpoint directory or with --url a served model, answers unethically.

    QUESTIONS is Dolly rows (.jsonl), of which the instructions are asked, or dialogues in the shape of AI
    Hub's text ethics set, of which the unethical sentences are said to the model. Shown is the share of
    greedy answers that the moderation model finds unethical, in all and by class, for `eval compare`.
    """
    require_libraries("numpy", "safetensors")
    from finetune.data.load import load_rows
    from finetune.moderation.dialogues import read_dialogues
    from moderation.model import load_model

    offline()
    judge = load_model(moderation_dir)
    if questions.suffix == ".jsonl":
        asked = [row.instruction for row in load_rows(questions)]
    else:
        asked = [sentence.text for sentence in read_dialogues([questions]) if sentence.classes]
    if not asked:
        raise click.UsageError(f"{questions} holds no unethical sentence to say to the model.")
    with opened_target(model, url, template) as target:
        from finetune.eval.ethics import evaluate_ethics

        report = evaluate_ethics(target, asked[:limit], questions.stem, judge.judge, max_tokens)
        settings = report.settings | {"moderation": judge.card.name}
        show(report.model_copy(update={"settings": settings}), output)
