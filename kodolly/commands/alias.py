"""`kodolly alias`."""

from pathlib import Path

import click

EPILOG = """\b
Examples:
  kodolly alias chat my-dolly             clients may ask for chat and get my-dolly
  kodolly alias gpt-4o-mini my-dolly      programs that name a ChatGPT model get my-dolly
  kodolly alias                           list them
  kodolly alias --remove chat
"""


@click.command("alias", epilog=EPILOG)
@click.argument("name", required=False)
@click.argument("target", required=False)
@click.option("--remove", metavar="NAME", help="Take this alias back.")
@click.option(
    "--controller", "controllers", multiple=True, metavar="URL", help="Controller to tell; may be repeated."
)
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(
    name: str | None,
    target: str | None,
    remove: str | None,
    controllers: tuple[str, ...],
    config: Path | None,
) -> None:
    """Give the model TARGET the further name NAME at all gateways, at once; without arguments, list."""
    from urllib.parse import quote

    from common.settings import load_settings
    from kodolly.clients.controller_access import find_controllers
    from kodolly.echo import echo_line
    from kodolly.operate.table import table
    from server.settings import GatewaySettings

    if (name is None) != (target is None) or (name is not None and remove is not None):
        raise click.UsageError("Give NAME and TARGET, or --remove NAME, or nothing.")
    found = find_controllers(controllers, config)
    configured = load_settings(GatewaySettings, {}, config).aliases
    missed: list[str] = []
    if name is not None:
        missed = found.tell_all("PUT", f"/v1/aliases/{quote(name, safe='')}", {"target": target})
    elif remove is not None:
        if remove in configured:
            echo_line(f"{remove} also stands under gateway.aliases in the settings.", err=True)
        missed = found.tell_all("DELETE", f"/v1/aliases/{quote(remove, safe='')}")
    for url in missed:
        echo_line(f"The controller at {url} could not be told; repeat this when it is back.", err=True)
    snapshots = found.snapshots()
    snapshot = snapshots[0]
    for other in snapshots[1:]:
        if names := sorted(a for a, _ in set(snapshot.aliases.items()) ^ set(other.aliases.items())):
            echo_line(f"The controllers differ: set {', '.join(dict.fromkeys(names))} again.", err=True)
    served = {card.name for worker in snapshot.workers for card in worker.models}
    if target is not None and target not in served:
        echo_line(f"No worker serves {target} now.", err=True)
    if name is None and remove is None:
        rows = [(alias, "->", to, "") for alias, to in snapshot.aliases.items()]
        rows += [(a, "->", to, "(settings)") for a, to in configured.items() if a not in snapshot.aliases]
        for line in table(rows):
            click.echo(line)
        if not rows:
            click.echo("No aliases.", err=True)
