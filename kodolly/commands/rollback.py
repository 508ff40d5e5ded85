"""`kodolly rollback`."""

import click

from kodolly.commands.deploy import WaitOptions, wait_options


@click.command("rollback", epilog="\b\nExamples:\n  kodolly rollback my-dolly\n")
@click.argument("name")
@wait_options
def command(name: str, wait: WaitOptions) -> None:
    """Take the canary of NAME away; without one, serve the checkpoint of before again; no request fails.

    Which that was is remembered in the state directory in which `kodolly deploy` and `kodolly promote` ran.
    """
    from kodolly.operate.canary import rollback

    rollback(wait.site(), name, wait.of_remembered(name))
