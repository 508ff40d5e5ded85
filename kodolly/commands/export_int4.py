"""`kodolly export int4`."""

from pathlib import Path

import click

from kodolly.echo import echo_line

EPILOG = """\b
Examples:
  kodolly export int4 models/my-dolly models/my-dolly-int4 --data clean.jsonl
  kodolly export int4 models/my-dolly models/my-dolly-int4 --steps 0
"""


@click.command("int4", epilog=EPILOG)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Rows on which the rounding is tuned; the training's own are best.  [default: the bundled ones]",
)
@click.option(
    "--steps",
    type=click.IntRange(min=0),
    default=200,
    show_default=True,
    help="Of tuning for each layer; 0 rounds to the nearest.",
)
@click.option(
    "--push", metavar="OWNER/NAME", help="Also copy the result to the hub; a new repository is private."
)
def command(checkpoint: Path, output: Path, data: Path | None, steps: int, push: str | None) -> None:
    """Write CHECKPOINT with weights of 4 bits as the complete checkpoint OUTPUT, for vLLM.

    Linear layers become 4 bits with one scale for 128 weights, in compressed-tensors' format; AutoRound tunes
    the rounding on conversations. The model has to fit in memory. Then source and result are compared on
    bundled Korean conversations.
    """
    from common.openmp import let_waiting_threads_sleep
    from finetune.models.quiet import hide_library_notes
    from finetune.progress import terminal_report

    let_waiting_threads_sleep()
    hide_library_notes()
    from finetune.export.int4 import export_int4, require_autoround
    from finetune.models import hub

    require_autoround()
    hub.require_hub(push)
    export_int4(checkpoint, output, terminal_report(), data=data, steps=steps)
    hub.push(output, push, terminal_report())
    echo_line(output)
