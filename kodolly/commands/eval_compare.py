"""`kodolly eval compare`."""

from pathlib import Path

import click

from kodolly.echo import echo_line

EPILOG = """\b
Examples:
  kodolly eval compare base.json dolly.json comparison
  kodolly eval compare base-*.json dolly-*.json comparison --before my-base
"""


@click.command("compare", epilog=EPILOG)
@click.argument("reports", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--before", help="The model the others are compared with.  [default: the first report's]")
def command(reports: tuple[Path, ...], output: Path, before: str | None) -> None:
    """Put the REPORTS of two or more models side by side, in the directory OUTPUT.

    comparison.md shows every score, the difference to the first model with its interval, KoBEST's published
    figures and the answers to the same questions; comparison.json has the same, and there is a plot of each
    metric.
    """
    from kodolly.eval_target import require_libraries

    require_libraries("numpy", "matplotlib", "koreanize_matplotlib")
    from finetune.eval.compare import compare
    from finetune.eval.comparison_files import write_comparison
    from finetune.eval.report import read_report

    made = compare([read_report(path) for path in reports], before)
    for path in write_comparison(made, output):
        echo_line(path)
