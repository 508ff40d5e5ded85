"""`kodolly data translate`."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from common.errors import UserError
from kodolly.echo import echo_line
from kodolly.teacher_model import teacher_options

if TYPE_CHECKING:
    from finetune.synthetic.authorship import Authorship
    from finetune.synthetic.teacher import Teacher
    from kodolly.teacher_model import Teaching

EPILOG = """\b
Examples:
  kodolly data translate databricks-dolly-15k.jsonl rows.jsonl --model my-teacher
  DEEPL_API_KEY=... kodolly data translate databricks-dolly-15k.jsonl rows.jsonl --model deepl
"""


@click.command("translate", epilog=EPILOG)
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@teacher_options
@click.option("--limit", type=click.IntRange(1), help="Only the first so many rows.")
def command(source: Path, output: Path, teaching: "Teaching", limit: int | None) -> None:
    """Translate the Dolly rows of SOURCE into Korean with a served model, or with DeepL (--model deepl).

    Code, addresses, placeholders and formulas are set apart before and put back after; a translation that
    loses one of them or a number is dropped, and so are tasks about the language itself, answers in two
    speech levels and what cleaning would reject. Each reason is counted. A stopped run goes on with the
    answers beside OUTPUT (.asked.jsonl).
    """
    from kodolly.eval_target import require_libraries

    require_libraries("numpy")
    from itertools import islice

    from finetune.rows.reader import row_lines
    from finetune.synthetic.rows_file import journal_path, write_rows
    from finetune.synthetic.translation import translate
    from kodolly.teacher_model import show_use

    rows = [line.row for line in islice(row_lines(source), limit)]
    with _translator(teaching, journal_path(output)) as (teacher, author):
        made = translate(rows, teacher, author)
        write_rows(made.rows, output)
        show_use(teacher)
    echo_line(f"{len(made.rows):,} of {len(rows):,} rows: {output}")
    for reason, count in made.dropped.most_common():
        echo_line(f"{count:>7,}  dropped: {reason}")


@contextmanager
def _translator(teaching: "Teaching", journal: Path) -> Iterator[tuple["Teacher", "Authorship"]]:
    from finetune.progress import terminal_report
    from finetune.synthetic.authorship import Authorship
    from finetune.synthetic.deepl import DeepL
    from finetune.synthetic.teacher import Teacher
    from kodolly.teacher_model import opened_teacher

    if teaching.model != DeepL.name:
        with opened_teacher(teaching, journal) as opened:
            yield opened
        return
    key = os.environ.get("DEEPL_API_KEY", "")
    if not key:
        raise UserError("DeepL's key is missing.", hint="Put it into DEEPL_API_KEY.")
    with closing(DeepL(key)) as service:
        teacher = Teacher(service, journal, terminal_report(), teaching.concurrency)
        yield teacher, Authorship(DeepL.name, teaching.licence or "terms of DeepL")
