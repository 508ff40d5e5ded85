"""`kodolly data check`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kodolly.cleaning_options import cleaning_options
from kodolly.echo import echo_text

if TYPE_CHECKING:
    from finetune.data.clean.chunk import CleaningRules

EPILOG = """\b
Examples:
  kodolly data check rows.jsonl
  kodolly data check rows.jsonl --report reports/rows
  kodolly data check rows.jsonl --ethics models/my-moderation
  kodolly data check train.jsonl --against KoBEST/COPA/dev.tsv --commercial
"""


@click.command("check", epilog=EPILOG)
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--report", "directory", type=click.Path(path_type=Path), help="Directory for samples and plots."
)
@cleaning_options
@click.option(
    "--ethics",
    type=click.Path(path_type=Path),
    metavar="MODEL",
    help="Moderation model (`kodolly train moderation`) that looks for unethical answers.",
)
@click.option("--processes", type=click.IntRange(1), help="How many at once.  [default: all cores]")
def command(
    inputs: tuple[Path, ...],
    directory: Path | None,
    ethics: Path | None,
    processes: int | None,
    rules: "CleaningRules",
) -> None:
    """Show what `kodolly data clean` would mend and reject in the Dolly rows of INPUTS; write no rows.

    Exit code 1 when there is a row to reject or, with --ethics, an unethical answer, for scripts.
    """
    from finetune.data.clean.report import summary, write_clean_report
    from finetune.data.clean.run import clean
    from finetune.progress import terminal_report

    made = clean(inputs, None, rules, processes=processes, report=terminal_report())
    echo_text(summary(made))
    if directory is not None:
        write_clean_report(made, directory)
        echo_text(f"\nReport: {directory / 'report.md'}")
    unethical = _show_unethical(inputs, ethics) if ethics is not None else 0
    if made.kept < made.read or unethical:
        raise SystemExit(1)


def _show_unethical(inputs: tuple[Path, ...], model: Path) -> int:
    """How many rows have unethical answers; where they are is printed, what they say is not."""
    from finetune.data.ethics import unethical_answers
    from finetune.progress import terminal_report
    from kodolly.eval_target import require_libraries

    require_libraries("numpy", "safetensors")
    from moderation.model import load_model

    found = unethical_answers(inputs, load_model(model).judge, terminal_report())
    echo_text("\n".join(["", *found.lines()]))
    return found.unethical
