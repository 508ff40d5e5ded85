"""`kodolly eval page`."""

from pathlib import Path

import click

EPILOG = """\b
Examples:
  kodolly eval page models/my-dolly base-rows.json my-dolly-rows.json --output my-dolly.html
  kodolly eval page models/my-dolly base-*.json my-dolly-*.json --before my-base
"""


@click.command("page", epilog=EPILOG)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("reports", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="[default: CHECKPOINT's name, .html]")
@click.option("--before", help="The model the others are compared with.  [default: the first report's]")
def command(checkpoint: Path, reports: tuple[Path, ...], output: Path | None, before: str | None) -> None:
    """Write one HTML page on CHECKPOINT: licence, base, data, and the scores of the REPORTS with intervals.

    The reports are those of the checkpoint and of the model it is set against, such as its base. The page
    fetches nothing, so that it can be sent as it is.
    """
    from common.checkpoint import read_card
    from common.errors import UserError
    from kodolly.eval_target import require_libraries

    card = read_card(checkpoint)
    if card is None:
        raise UserError(
            f"{checkpoint} has no kodolly.json.",
            hint="Name a checkpoint of `kodolly train` or `kodolly merge`.",
        )
    require_libraries("numpy")
    from finetune.eval.compare import compare
    from finetune.eval.page import model_page
    from finetune.eval.report import read_report
    from finetune.files.whole import whole_file

    page = model_page(card, compare([read_report(path) for path in reports], before))
    target = output or Path(f"{checkpoint.resolve().name}.html")
    with whole_file(target) as out:
        out.write(page.encode())
    click.echo(target)
