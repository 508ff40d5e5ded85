"""`kodolly data split`."""

from pathlib import Path

import click

from kodolly.echo import echo_line

EPILOG = """\b
Examples:
  kodolly data split clean.jsonl data/
  kodolly data split clean.jsonl data/ --validation 0.05 --test 0.05
"""


@click.command("split", epilog=EPILOG)
@click.argument("rows", type=click.Path(path_type=Path))
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--validation", type=float, default=0.02, show_default=True, help="Share to validate on.")
@click.option("--test", type=float, default=0.0, show_default=True, help="Share to test on.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another one makes another split.")
def command(rows: Path, directory: Path, validation: float, test: float, seed: int) -> None:
    """Split the Dolly ROWS into DIRECTORY/train.jsonl, validation.jsonl and, with a share, test.jsonl.

    A row's side depends on its question and context alone: it stays when rows are added, and rows with the
    same question, conversation or long context stay together.
    """
    from finetune.data.split import split
    from finetune.progress import terminal_report

    counts = split(rows, directory, validation=validation, test=test, seed=seed, report=terminal_report())
    for name, count in counts.items():
        echo_line(f"{count:>10,} rows  {directory / f'{name}.jsonl'}")
