"""`kodolly ps`."""

from pathlib import Path

import click

EPILOG = """\b
Examples:
  kodolly ps
  kodolly ps --json
  kodolly ps --controller http://10.0.0.5:21001
"""


@click.command("ps", epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--controller", "controllers", multiple=True, metavar="URL", help="Controller to ask; may be repeated."
)
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(as_json: bool, controllers: tuple[str, ...], config: Path | None) -> None:
    """List the workers and what they are doing."""
    from kodolly.clients.controller_access import find_controllers
    from kodolly.echo import echo_json, echo_line
    from kodolly.operate.overview import age_s, overview

    snapshot = find_controllers(controllers, config).snapshot()
    if not as_json:
        for line in overview(snapshot):
            echo_line(line)
        return
    fields = snapshot.model_dump(mode="json", exclude={"workers": {"__all__": {"engine_key"}}})
    for worker in fields["workers"]:
        worker["age_s"] = age_s(worker["incarnation"])
    echo_json(fields)
