"""`kodolly data convert`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from finetune.data.convert.fields import Roles
    from finetune.data.convert.run import Conversion

EPILOG = """\b
Examples:
  kodolly data convert KoAlpaca_v1.1.jsonl rows.jsonl
  kodolly data convert ko_dataset_2.json ko_alpaca_data.json rows.jsonl
  kodolly data convert korquad-2.1/ rows.jsonl --window 1200
  kodolly data convert faq.csv rows.jsonl --column instruction=문의 --column response=답변
  kodolly data convert 2023-04-12_oasst_ready.trees.jsonl.gz pairs.jsonl --pairs
"""
ROLES = ("checked", "human-asks", "as-published")
FORMATS = (
    "alpaca, koalpaca-1.1, sharegpt, messages, dialogue, guanaco, text, korquad-1, korquad-2, dolly, oasst, "
    "oasst-messages, pairs or table"
)
MOST_REASONS = 8
MOST_FIELDS = 20


@click.command("convert", epilog=EPILOG)
@click.argument("inputs", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--format", "name", metavar="NAME", help=f"The inputs' format, where it is not recognised: {FORMATS}."
)
@click.option(
    "--column",
    "columns",
    metavar="FIELD=COLUMN",
    multiple=True,
    help="A table's column for instruction, context, response, category, chosen, rejected or meta.NAME.",
)
@click.option(
    "--roles",
    type=click.Choice(ROLES),
    default="checked",
    help="Who asks: the human, unless that looks swapped (checked); the human; gpt (as-published).",
)
@click.option("--pairs", is_flag=True, help="Write preference pairs (chosen, rejected) for DPO.")
@click.option("--labels", is_flag=True, help="Write rows with a verdict (label, kto_tag ...) for KTO.")
@click.option("--strict", is_flag=True, help="Write instruction, context, response and category alone.")
@click.option(
    "--window",
    type=click.IntRange(min=100),
    default=1500,
    show_default=True,
    help="Longest context cut out of a KorQuAD 2 page, in characters.",
)
@click.option("--source", help="Name of the data in each row's meta.  [default: the published one]")
@click.option("--licence", help="Licence of the data in each row's meta.  [default: the published one]")
def command(
    inputs: tuple[Path, ...],
    output: Path,
    name: str | None,
    columns: tuple[str, ...],
    roles: "Roles",
    pairs: bool,
    labels: bool,
    strict: bool,
    window: int,
    source: str | None,
    licence: str | None,
) -> None:
    """Turn published instruction data (INPUTS: files or directories) into Dolly rows (OUTPUT, JSON Lines).

    Formats are recognised: KoAlpaca, Alpaca, ShareGPT and KoVicuna, chat messages, KorQuAD 1 and 2, Dolly,
    OpenAssistant-guanaco, OASST, preference pairs, tables. Files may be JSON, JSON Lines, CSV, TSV or
    Parquet, packed with gzip or Zstandard. What makes no row goes to OUTPUT's .rejected.jsonl, with why.
    The same command goes on after an interruption.
    """
    from common.errors import UserError
    from finetune.data.convert.run import ConvertRequest, convert
    from finetune.progress import terminal_report

    named = tuple(_column(text) for text in columns)
    request = ConvertRequest(
        inputs, output, name, named, roles, pairs, labels, strict, window, source, licence
    )
    try:
        done = convert(request, terminal_report())
    except KeyboardInterrupt:
        raise UserError("Interrupted.", hint="The same command goes on from here.") from None
    _show(done)


def _column(text: str) -> tuple[str, str]:
    field, equals, column = text.partition("=")
    if not equals or not field or not column:
        raise click.BadParameter(f"{text!r} is not FIELD=COLUMN", param_hint="'--column'")
    return field, column


def _show(done: "Conversion") -> None:
    from finetune.data.clean.licences import may_be_passed_on
    from kodolly.echo import echo_line

    if done.resumed:
        echo_line("Went on where the interrupted conversion had stopped.")
    for file in done.files:
        counts = file.counts
        echo_line(f"{file.file} ({file.format}): {counts.records:,} records, {counts.rows:,} rows")
        reasons = sorted(counts.reasons.values(), key=lambda one: -one.count)
        for one in reasons[:MOST_REASONS]:
            echo_line(f"  {one.count:,} refused, the first in line {one.line:,}: {one.reason}")
        if len(reasons) > MOST_REASONS:
            echo_line(f"  and {len(reasons) - MOST_REASONS} more reasons")
        for what, count in counts.left_out.items():
            echo_line(f"  left out {count:,} times: {what}")
        if counts.unused:
            echo_line(f"  fields in no row: {_fields(counts.unused)}")
        if file.warning:
            echo_line(f"  Look at some rows: questions and answers may be swapped. {file.warning}.")
        if not may_be_passed_on(file.licence):
            echo_line(f"  Licence {file.licence}: train on these rows, but don't publish them.")
    echo_line(f"{done.output}: {done.total.rows:,} rows")
    if done.rejects:
        echo_line(f"{done.rejects}: {done.total.refused:,} refused, with reasons")


def _fields(unused: dict[str, int]) -> str:
    from finetune.data.convert.batch import OTHER_FIELDS

    names = sorted(unused.keys() - {OTHER_FIELDS}, key=lambda name: (-unused[name], name))
    rest = "many" if OTHER_FIELDS in unused else len(names) - MOST_FIELDS
    more = f" and {rest} more" if len(names) > MOST_FIELDS else ""
    return ", ".join(f"{name} ({unused[name]:,} records)" for name in names[:MOST_FIELDS]) + more
