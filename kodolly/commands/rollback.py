"""`kodolly rollback`."""

from pathlib import Path

import click

from kodolly.commands.deploy import wait_options


@click.command("rollback", epilog="\b\nExamples:\n  kodolly rollback my-dolly\n")
@click.argument("name")
@wait_options
def command(
    name: str,
    ready_timeout_s: float,
    drain_timeout_s: float,
    controllers: tuple[str, ...],
    config: Path | None,
) -> None:
    """Take the canary of NAME away; without one, serve the checkpoint of before again; no request fails.

    Which that was is remembered in the state directory in which `kodolly deploy` and `kodolly promote` ran.
    """
    from kodolly.commands.deploy import site_of, waiting
    from kodolly.operate.canary import rollback

    rollback(site_of(controllers, config), name, waiting(name, ready_timeout_s, drain_timeout_s))
