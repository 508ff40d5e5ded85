"""`kodolly data clean`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kodolly.cleaning_options import cleaning_options
from kodolly.echo import echo_line, echo_text
from kodolly.finite_range import FiniteRange

if TYPE_CHECKING:
    from finetune.data.clean.chunk import CleaningRules

EPILOG = """\b
Examples:
  kodolly data clean rows.jsonl clean.jsonl
  kodolly data clean koalpaca.jsonl korquad.jsonl clean.jsonl --commercial
  kodolly data clean rows.jsonl clean.jsonl --against KoBEST/BoolQ/dev.tsv --against KorQuAD_v1.0_dev.json
  kodolly data clean rows.jsonl clean.jsonl --allow refusal --allow html
  kodolly data clean rows.jsonl clean.jsonl --mask rrn,card,phone
"""


@click.command("clean", epilog=EPILOG)
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@cleaning_options
@click.option(
    "--similarity",
    type=FiniteRange(0.5, 1.0),
    default=0.8,
    show_default=True,
    help="From how alike on two rows are near-duplicates.",
)
@click.option("--processes", type=click.IntRange(1), help="How many at once.  [default: all cores]")
def command(
    inputs: tuple[Path, ...],
    output: Path,
    similarity: float,
    processes: int | None,
    rules: "CleaningRules",
) -> None:
    """Clean the Dolly rows of INPUTS (JSONL, also .gz and .zst) and write those that are good to OUTPUT.

    What can be mended is mended. Rows that can't go to NAME.rejected.jsonl with the reason, and counts,
    samples and plots to NAME.report/. A run that was killed goes on when the same command is given again.
    """
    from finetune.data.clean.report import summary, write_clean_report
    from finetune.data.clean.run import clean
    from finetune.files.outputs import masked_path, rejects_path
    from finetune.progress import terminal_report

    directory = output.with_name(f"{output.name.removesuffix('.jsonl')}.report")
    made = clean(
        inputs,
        output,
        rules,
        similarity=similarity,
        processes=processes,
        report=terminal_report(),
        write_report=lambda report: write_clean_report(report, directory),
    )
    echo_text(summary(made))
    echo_text(f"\nRejected rows: {rejects_path(output)}\nReport: {directory / 'report.md'}")
    if masked_path(output).exists():
        echo_line(f"What was masked, in its old form (yours alone to read): {masked_path(output)}")
    if not made.kept:
        click.echo("No row is left. `kodolly data convert` makes Dolly rows of other formats.", err=True)
        raise SystemExit(1)
