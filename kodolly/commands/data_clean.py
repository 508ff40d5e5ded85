"""`kodolly data clean`."""

from pathlib import Path

import click

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
@click.option("--allow", multiple=True, metavar="REASON", help="Keep rows with this finding; count them.")
@click.option(
    "--against",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Evaluation set: rows that contain one of its items go (KoBEST .tsv, KorQuAD .json, .jsonl, .txt).",
)
@click.option("--commercial", is_flag=True, help="Keep only rows whose meta.licence allows commercial use.")
@click.option(
    "--similarity",
    type=click.FloatRange(0.5, 1.0),
    default=0.8,
    show_default=True,
    help="From how alike on two rows are near-duplicates.",
)
@click.option(
    "--mask",
    default="on",
    show_default=True,
    metavar="on|off|KIND,...",
    help="Personal data to mask: rrn, card, phone, driver, passport, business, account, email.",
)
@click.option("--processes", type=click.IntRange(1), help="How many at once.  [default: all cores]")
def command(
    inputs: tuple[Path, ...],
    output: Path,
    allow: tuple[str, ...],
    against: tuple[Path, ...],
    commercial: bool,
    similarity: float,
    mask: str,
    processes: int | None,
) -> None:
    """Clean the Dolly rows of INPUTS (JSONL, also .gz and .zst) and write those that are good to OUTPUT.

    What can be mended is mended. Rows that can't go to NAME.rejected.jsonl with the reason, and counts,
    samples and plots to NAME.report/. A run that was killed goes on when the same command is given again.
    """
    from finetune.data.clean.report import summary, write_clean_report
    from finetune.data.clean.rules import rules
    from finetune.data.clean.run import clean
    from finetune.files.outputs import masked_path, rejects_path
    from finetune.progress import terminal_report
    from kodolly.echo import echo_text

    directory = output.with_name(f"{output.name.removesuffix('.jsonl')}.report")
    made = clean(
        inputs,
        output,
        rules(allow=allow, against=against, commercial=commercial, mask=mask),
        similarity=similarity,
        processes=processes,
        report=terminal_report(),
        write_report=lambda report: write_clean_report(report, directory),
    )
    echo_text(summary(made))
    click.echo(f"\nRejected rows: {rejects_path(output)}\nReport: {directory / 'report.md'}")
    if masked_path(output).exists():
        click.echo(f"What was masked, in its old form (yours alone to read): {masked_path(output)}")
    if not made.kept:
        click.echo("No row is left. `kodolly data convert` makes Dolly rows of other formats.", err=True)
        raise SystemExit(1)
