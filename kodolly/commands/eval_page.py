"""`kodolly eval page`."""

from pathlib import Path

import click

from kodolly.echo import echo_line

EPILOG = """\b
Examples:
  kodolly eval page models/my-dolly base-rows.json my-dolly-rows.json --output my-dolly.html
  kodolly eval page models/my-dolly base-*.json my-dolly-*.json --before my-base --run runs/my-dolly
"""


@click.command("page", epilog=EPILOG)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("reports", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="[default: CHECKPOINT's name, .html]")
@click.option("--before", help="The model the others are compared with.  [default: the first report's]")
@click.option(
    "--run",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The training's output, whose losses are drawn.  [default: CHECKPOINT, where it has a log]",
)
def command(
    checkpoint: Path, reports: tuple[Path, ...], output: Path | None, before: str | None, run: Path | None
) -> None:
    """Write one HTML page on CHECKPOINT: licence, base, data, losses, and the scores of the REPORTS.

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
    from finetune.eval.training_curve import LOG_FILE, read_curve
    from finetune.files.whole import whole_file

    curve = read_curve(run or checkpoint)
    if run is not None and curve is None:
        raise UserError(
            f"{run} has no {LOG_FILE} with losses.", hint="Name an output of `kodolly train`: runs/NAME."
        )
    page = model_page(card, compare([read_report(path) for path in reports], before), curve)
    target = output or Path(f"{checkpoint.resolve().name}.html")
    with whole_file(target) as out:
        out.write(page.encode())
    echo_line(target)
