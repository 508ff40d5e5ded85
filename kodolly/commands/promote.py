"""`kodolly promote`."""

import click

from kodolly.commands.deploy import WaitOptions, wait_options


@click.command("promote", epilog="\b\nExamples:\n  kodolly promote my-dolly\n")
@click.argument("name")
@wait_options
def command(name: str, wait: WaitOptions) -> None:
    """Let the canary of NAME answer all of its traffic; no request fails.

    A worker with the canary's checkpoint takes the place of NAME's, then the canary's own goes. `kodolly
    rollback` leads back to the checkpoint of before.
    """
    from kodolly.operate.canary import promote

    promote(wait.site(), name, wait.of_remembered(name))
