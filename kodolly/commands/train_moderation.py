"""`kodolly train moderation`."""

from pathlib import Path

import click

from kodolly.echo import echo_line

EPILOG = """\b
Examples:
  kodolly train moderation ethics/ models/my-moderation --licence "AI Hub"
  kodolly train moderation ethics.zip models/my-moderation --clean rows.jsonl
  kodolly worker models/my-moderation
"""


@click.command("moderation", epilog=EPILOG)
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--clean",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Harmless text (Dolly rows or lines) that must not be taken for unethical; may be repeated.",
)
@click.option(
    "--licence", default="unknown", show_default=True, help="Licence of the data, for the model's card."
)
def command(data: tuple[Path, ...], output: Path, clean: tuple[Path, ...], licence: str) -> None:
    """Train a moderation model on DATA and write it to OUTPUT, for `kodolly worker`.

    DATA is labelled dialogues in the shape of AI Hub's text ethics set: .json files, the ZIPs they come in,
    or directories of them. Dialogues are held out to fit thresholds on and to measure; the figures are shown
    and written to OUTPUT/report.json.
    """
    from finetune.progress import terminal_report
    from kodolly.eval_target import require_libraries

    require_libraries("numpy", "safetensors")
    from finetune.moderation.run import train_moderation

    figures = train_moderation(data, clean, output, licence, terminal_report())
    for line in figures.lines():
        click.echo(line, err=True)
    echo_line(output)
