"""`kodolly drain`."""

from pathlib import Path

import click

from common.registry import DRAIN_TIMEOUT_S
from kodolly.finite_range import FiniteRange

EPILOG = """\b
Examples:
  kodolly drain 127.0.0.1-21002           this worker, by its id in `kodolly ps`
  kodolly drain my-dolly                  every worker that serves my-dolly
  kodolly drain my-dolly --timeout 30     running requests get 30 seconds
  kodolly drain my-dolly --undo           those that still have requests go on
"""


@click.command("drain", epilog=EPILOG)
@click.argument("target", metavar="WORKER|MODEL")
@click.option(
    "--timeout",
    "timeout_s",
    type=FiniteRange(0, 86400),
    default=DRAIN_TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    help="Longest wait for running requests.",
)
@click.option("--undo", is_flag=True, help="Take it back: workers that still have requests go on.")
@click.option(
    "--controller", "controllers", multiple=True, metavar="URL", help="Controller to ask; may be repeated."
)
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(
    target: str, timeout_s: float, undo: bool, controllers: tuple[str, ...], config: Path | None
) -> None:
    """Stop workers without failing a request: no new ones, running ones end, then the engine stops.

    A command that still waits for a worker asks it to stop again: end it (Ctrl-C) before `--undo`.
    """
    from kodolly.clients.controller_access import find_controllers
    from kodolly.echo import echo_line
    from kodolly.operate.drain import choose_workers, drain_workers, undrain_workers

    found = find_controllers(controllers, config)
    chosen = choose_workers(found.snapshot().workers, target)
    if undo:
        undrain_workers(found, chosen, lambda line: echo_line(line, err=True))
    else:
        drain_workers(found, chosen, timeout_s, lambda line: echo_line(line, err=True))
