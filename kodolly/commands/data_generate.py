"""`kodolly data generate`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kodolly.echo import echo_line
from kodolly.finite_range import FiniteRange
from kodolly.teacher_model import teacher_options

if TYPE_CHECKING:
    from finetune.synthetic.self_instruct import GeneratedRows
    from kodolly.teacher_model import Teaching

EPILOG = """\b
Examples:
  kodolly data generate rows.jsonl --model my-teacher --rows 2000
  kodolly data generate rows.jsonl --model my-teacher --rows 500 --seeds our-tasks.jsonl --evolve 0.5
"""


@click.command("generate", epilog=EPILOG)
@click.argument("output", type=click.Path(path_type=Path))
@teacher_options
@click.option("--rows", "wanted", type=click.IntRange(1), default=1000, show_default=True, help="How many.")
@click.option(
    "--seeds", type=click.Path(path_type=Path), help="Dolly rows.  [default: 60 that come with kodolly]"
)
@click.option(
    "--evolve",
    type=FiniteRange(0, 1),
    default=0.25,
    show_default=True,
    help="Share of requests that make an earlier task harder.",
)
@click.option("--seed", type=int, default=42, show_default=True)
def command(
    output: Path,
    teaching: "Teaching",
    wanted: int,
    seeds: Path | None,
    evolve: float,
    seed: int,
) -> None:
    """Let a served model make up Dolly rows after seed tasks (Self-Instruct), over all eight categories.

    Tasks that are nearly an earlier one by their morphemes are dropped, and what cleaning would reject; each
    reason is counted. The model's answers are kept beside OUTPUT (.asked.jsonl): a stopped run goes on with
    them.
    """
    from kodolly.document_store import require_documents
    from kodolly.eval_target import require_libraries
    from kodolly.teacher_model import opened_teacher, show_use

    require_documents()
    require_libraries("numpy")
    from finetune.synthetic.rows_file import journal_path, write_rows
    from finetune.synthetic.self_instruct import SEEDS, generate, load_seeds

    known = load_seeds(seeds or SEEDS)
    with opened_teacher(teaching, journal_path(output)) as (teacher, author):
        made = generate(known, wanted, teacher, author, seed, evolve)
        write_rows(made.rows, output)
        show_use(teacher)
    _show(made, wanted, output)


def _show(made: "GeneratedRows", wanted: int, output: Path) -> None:
    echo_line(f"{len(made.rows):,} rows of {made.proposed:,} proposed in {made.rounds} rounds: {output}")
    for reason, count in made.dropped.most_common():
        echo_line(f"{count:>7,}  dropped: {reason}")
    if len(made.rows) < wanted:
        echo_line("The model has brought nothing new for three rounds: more seeds would help.", err=True)
