"""`kodolly top`."""

from pathlib import Path

import click

EPILOG = """\b
Examples:
  kodolly top
  kodolly top --gateway http://10.0.0.5:8000 --controller http://10.0.0.5:21001
"""

EVERY_S = 1.0


@click.command("top", epilog=EPILOG)
@click.option("--gateway", metavar="URL", help="Gateway to ask.  [default: http://127.0.0.1:8000]")
@click.option(
    "--controller", "controllers", multiple=True, metavar="URL", help="Controller to ask; may be repeated."
)
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(gateway: str | None, controllers: tuple[str, ...], config: Path | None) -> None:
    """Show workers and gateway, refreshed each second; q ends it."""
    import time

    from common.errors import UserError
    from kodolly.clients.controller_access import find_controllers, find_gateway
    from kodolly.clients.gateway_access import fetch_status
    from kodolly.operate.overview import gateway_lines, overview
    from kodolly.operate.screen import redraw_until_quit

    found = find_controllers(controllers, config)
    url = find_gateway(gateway, config)

    def draw() -> list[str]:
        try:
            cluster = overview(found.snapshot())
        except UserError as error:
            cluster = [str(error)]
        try:
            front = gateway_lines(url, fetch_status(url, timeout_s=EVERY_S))
        except UserError as error:
            front = [str(error)]
        return [f"kodolly top   {time.strftime('%H:%M:%S')}   q ends", "", *cluster, "", *front]

    redraw_until_quit(draw, EVERY_S)
