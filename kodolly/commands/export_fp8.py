"""`kodolly export fp8`."""

from pathlib import Path

import click

from kodolly.echo import echo_line

EPILOG = """\b
Examples:
  kodolly export fp8 models/my-dolly models/my-dolly-fp8
  kodolly up models/my-dolly-fp8
"""


@click.command("fp8", epilog=EPILOG)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--push", metavar="OWNER/NAME", help="Also copy the result to the hub; a new repository is private."
)
def command(checkpoint: Path, output: Path, push: str | None) -> None:
    """Write CHECKPOINT with weights of 8 bits as the complete checkpoint OUTPUT, for vLLM.

    Linear layers become float8 with one scale an output, in compressed-tensors' format; embeddings and norms
    stay. vLLM rounds their inputs as they come (GPUs from Ada and Hopper on; older ones read the
    weights alone in 8 bits). No data is needed.

    The checkpoint is read and written tensor by tensor, so it need not fit in memory, and a run that was
    killed goes on where it was. Then source and result are compared on bundled Korean conversations.
    """
    from common.openmp import let_waiting_threads_sleep
    from finetune.models.quiet import hide_library_notes
    from finetune.progress import terminal_report

    let_waiting_threads_sleep()
    hide_library_notes()
    from finetune.export.fp8 import export_fp8
    from finetune.models import hub

    hub.require_hub(push)
    export_fp8(checkpoint, output, terminal_report())
    hub.push(output, push, terminal_report())
    echo_line(output)
