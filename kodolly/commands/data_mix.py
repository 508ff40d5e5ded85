"""`kodolly data mix`."""

from pathlib import Path

import click

from kodolly.echo import echo_line, echo_text

EPILOG = """\b
Examples:
  kodolly data mix koalpaca.jsonl korquad.jsonl all.jsonl
  kodolly data mix koalpaca.jsonl=3 korquad.jsonl=1 mixed.jsonl --seed 7
  kodolly data mix koalpaca.jsonl=0.7 chat.jsonl=0.3 mixed.jsonl --rows 100000
"""


@click.command("mix", epilog=EPILOG)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT[=WEIGHT]...")
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--rows", type=click.IntRange(1), help="Size of the mixture.  [default: no row twice]")
@click.option("--seed", type=int, default=0, show_default=True, help="The order, and which rows are taken.")
def command(inputs: tuple[str, ...], output: Path, rows: int | None, seed: int) -> None:
    """Mix Dolly rows into OUTPUT, each file's share by its WEIGHT; without weights all rows, shuffled.

    NAME.manifest.json beside it holds the hashes of all files, the seed and the numbers of rows.
    """
    from finetune.data.mix import WeightedFile, manifest_path, mix
    from finetune.progress import terminal_report

    sources = []
    for text in inputs:
        path, _, weight = text.rpartition("=")
        try:
            sources.append(
                WeightedFile(Path(path), float(weight)) if path else WeightedFile(Path(text), None)
            )
        except ValueError:  # a file with = in its name
            sources.append(WeightedFile(Path(text), None))
    parts = mix(sources, output, seed=seed, rows=rows, report=terminal_report())
    for part in parts:
        again = f" (each {part.taken / part.rows:.1f} times)" if part.taken > part.rows else ""
        echo_line(f"{part.taken:>10,} of {part.rows:,} rows  {part.path}{again}")
    echo_text(f"{sum(part.taken for part in parts):>10,} rows  {output}\nManifest: {manifest_path(output)}")
