"""`kodolly promote`."""

from pathlib import Path

import click

from kodolly.commands.deploy import wait_options


@click.command("promote", epilog="\b\nExamples:\n  kodolly promote my-dolly\n")
@click.argument("name")
@wait_options
def command(
    name: str,
    ready_timeout_s: float,
    drain_timeout_s: float,
    controllers: tuple[str, ...],
    config: Path | None,
) -> None:
    """Let the canary of NAME answer all of its traffic; no request fails.

    A worker with the canary's checkpoint takes the place of NAME's, then the canary's own goes. `kodolly
    rollback` leads back to the checkpoint of before.
    """
    from kodolly.commands.deploy import site_of, waiting
    from kodolly.operate.canary import promote

    promote(site_of(controllers, config), name, waiting(name, ready_timeout_s, drain_timeout_s))
