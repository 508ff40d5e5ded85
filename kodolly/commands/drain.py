"""`kodolly drain`."""

from pathlib import Path

import click

from common.registry import DRAIN_TIMEOUT_S

EPILOG = """\b
Examples:
  kodolly drain 127.0.0.1-21002           this worker, by its id in `kodolly ps`
  kodolly drain my-dolly                  every worker that serves my-dolly
  kodolly drain my-dolly --timeout 30     running requests get 30 seconds
"""


@click.command("drain", epilog=EPILOG)
@click.argument("target", metavar="WORKER|MODEL")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, 86400),
    default=DRAIN_TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    help="Longest wait for running requests.",
)
@click.option(
    "--controller", "controllers", multiple=True, metavar="URL", help="Controller to ask; may be repeated."
)
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(target: str, timeout_s: float, controllers: tuple[str, ...], config: Path | None) -> None:
    """Stop workers without failing a request: no new ones, running ones end, then the engine stops."""
    from kodolly.clients.controller_access import find_controllers
    from kodolly.echo import echo_line
    from kodolly.operate.drain import choose_workers, drain_workers

    found = find_controllers(controllers, config)
    chosen = choose_workers(found.snapshot().workers, target)
    drain_workers(found, chosen, timeout_s, lambda line: echo_line(line, err=True))
