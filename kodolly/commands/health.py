"""`kodolly health`."""

import sys

import click

EPILOG = """\b
Examples:
  kodolly health http://127.0.0.1:8000/healthz
  kodolly health                       in a container: the part that it was started as
"""


@click.command("health", epilog=EPILOG)
@click.argument("url", required=False)
def command(url: str | None) -> None:
    """Ask URL whether it is well, past any proxy: exit code 0 when it answers 200, else 1 and one line."""
    from kodolly.echo import echo_line
    from kodolly.operate.health import container_url, problem

    found = problem(url or container_url()[1])
    if found:
        echo_line(found, err=True)
    sys.exit(1 if found else 0)
