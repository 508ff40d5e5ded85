"""`kodolly data from-documents`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kodolly.echo import echo_line
from kodolly.teacher_model import teacher_options

if TYPE_CHECKING:
    from finetune.synthetic.passages import Reading
    from finetune.synthetic.tasks import RowTask
    from kodolly.teacher_model import Teaching

EPILOG = """\b
Examples:
  kodolly data from-documents 규정집 rows.jsonl --model my-teacher --dry-run
  kodolly data from-documents 규정집 rows.jsonl --model my-teacher
  kodolly data from-documents 규정집 rows.jsonl --model openai/gpt-4o --with openai/gpt-4o --price 2.5 10
"""
CATEGORIES = ("closed_qa", "summarization", "information_extraction", "classification")


@click.command("from-documents", epilog=EPILOG)
@click.argument("directory", type=click.Path(path_type=Path, exists=True))
@click.argument("output", type=click.Path(path_type=Path))
@teacher_options
@click.option(
    "--category",
    "categories",
    multiple=True,
    type=click.Choice(CATEGORIES),
    help="Only rows of these.  [default: all four]",
)
@click.option(
    "--questions", type=click.IntRange(1, 8), default=3, show_default=True, help="About a passage, at most."
)
@click.option("--chunk-size", type=click.IntRange(200), default=1000, show_default=True, help="Characters.")
@click.option(
    "--price", type=(float, float), metavar="IN OUT", help="Of a million tokens, to estimate the cost."
)
@click.option("--dry-run", is_flag=True, help="Read and estimate; ask nothing.")
@click.option("--seed", type=int, default=42, show_default=True)
def command(
    directory: Path,
    output: Path,
    teaching: "Teaching",
    categories: tuple[str, ...],
    questions: int,
    chunk_size: int,
    price: tuple[float, float] | None,
    dry_run: bool,
    seed: int,
) -> None:
    """Let a served model write Dolly rows about the files in DIRECTORY, and keep those that these bear out.

    Each row's evidence must stand in its passage, numbers and words must agree with it or a second opinion
    of the model must, and a question must lead back to its passage. A tenth of the rows ask what their
    passage does not say. Reasons for what is dropped are counted. The model's answers are kept beside OUTPUT
    (.asked.jsonl): a stopped run goes on with them.
    """
    from kodolly.document_store import require_documents
    from kodolly.eval_target import require_libraries

    require_documents()
    require_libraries("numpy")
    from finetune.progress import terminal_report
    from finetune.synthetic.passages import read_folder
    from finetune.synthetic.tasks import tasks

    kinds = [one for one in tasks(questions) if not categories or one.category in categories]
    reading = read_folder(directory, chunk_size, terminal_report())
    _show_reading(reading)
    _show_estimate(reading, kinds, seed, price)
    if not dry_run:
        _write(reading, kinds, chunk_size, teaching, seed, output)


def _write(
    reading: "Reading", kinds: "list[RowTask]", chunk_size: int, teaching: "Teaching", seed: int, output: Path
) -> None:
    from finetune.synthetic.from_documents import rows_from_documents
    from finetune.synthetic.rows_file import journal_path, write_rows
    from kodolly.teacher_model import opened_teacher, show_use

    with opened_teacher(teaching, journal_path(output)) as (teacher, author):
        made = rows_from_documents(reading, kinds, chunk_size, teacher, author, seed)
        write_rows(made.rows, output)
        show_use(teacher)
    echo_line(f"{len(made.rows):,} rows of {made.proposed:,} proposed: {output}")
    for reason, count in made.dropped.most_common():
        echo_line(f"{count:>7,}  dropped: {reason}")


def _show_reading(reading: "Reading") -> None:
    for line in reading.failed:
        echo_line(f"kodolly: {line}", err=True)
    left = [
        f"{count:,} {what} left out"
        for count, what in ((reading.short, "too short"), (reading.repeated, "repeated"))
        if count
    ]
    files, passages = len(reading.documents), len(reading.passages)
    echo_line(", ".join([f"{files:,} files, {passages:,} passages", *left]), err=True)


def _show_estimate(
    reading: "Reading", kinds: "list[RowTask]", seed: int, price: tuple[float, float] | None
) -> None:
    from finetune.synthetic.from_documents import estimate

    expected = estimate(reading, kinds, seed)
    prompt, written = expected.prompt_tokens, expected.completion_tokens
    cost = f", about {(prompt * price[0] + written * price[1]) / 1e6:,.2f} at these prices" if price else ""
    echo_line(
        f"At most about {expected.requests:,} requests, {prompt:,} prompt tokens and {written:,} answer "
        f"tokens{cost}. How long it takes is shown from the first answers on.",
        err=True,
    )
