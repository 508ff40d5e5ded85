"""`kodolly alias`."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from common.registry import Sticky

if TYPE_CHECKING:
    from common.registry import Snapshot

EPILOG = """\b
Examples:
  kodolly alias chat my-dolly             clients may ask for chat and get my-dolly
  kodolly alias gpt-4o-mini my-dolly      programs that name a ChatGPT model get my-dolly
  kodolly alias chat my-dolly=90 my-dolly-2=10 --sticky user
  kodolly alias                           list them
  kodolly alias --remove chat
"""


def _path(name: str) -> str:
    from urllib.parse import quote

    return f"/v1/aliases/{quote(name, safe='')}"


@click.command("alias", epilog=EPILOG)
@click.argument("name", required=False)
@click.argument("targets", metavar="[TARGET | TARGET=PERCENT...]", nargs=-1)
@click.option(
    "--sticky",
    type=click.Choice(get_args(Sticky)),
    default="user",
    show_default=True,
    help="What keeps somebody with one of several targets.",
)
@click.option("--remove", metavar="NAME", help="Take this alias back.")
@click.option(
    "--controller", "controllers", multiple=True, metavar="URL", help="Controller to tell; may be repeated."
)
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(
    name: str | None,
    targets: tuple[str, ...],
    sticky: Sticky,
    remove: str | None,
    controllers: tuple[str, ...],
    config: Path | None,
) -> None:
    """Give the model TARGET the further name NAME at all gateways, at once; without arguments, list.

    With several targets and their shares, NAME's traffic is split between them. The first one is the stable
    one: it also answers what the others have no ready worker for. Everybody stays with one target, and when
    a share grows, only those who are needed for it move. NAME may then be the stable model's own name.
    """
    from common.settings import load_settings
    from kodolly.clients.controller_access import find_controllers
    from kodolly.echo import echo_line
    from kodolly.operate.arms import alias_of
    from server.settings import GatewaySettings

    if (name is None) != (not targets) or (name is not None and remove is not None):
        raise click.UsageError("Give NAME and TARGET, or --remove NAME, or nothing.")
    alias = alias_of(targets, sticky) if targets else None
    found = find_controllers(controllers, config)
    configured = load_settings(GatewaySettings, {}, config).aliases
    missed: list[str] = []
    if name is not None and alias is not None:
        missed = found.tell_all("PUT", _path(name), alias.model_dump())
    elif remove is not None:
        if remove in configured:
            echo_line(f"{remove} also stands under gateway.aliases in the settings.", err=True)
        missed = found.tell_all("DELETE", _path(remove))
    for url in missed:
        echo_line(f"The controller at {url} could not be told; repeat this when it is back.", err=True)
    snapshots = found.snapshots()
    _tell_of_differences(snapshots)
    if alias is not None:
        _tell_of_unserved(alias.models(), snapshots[0])
    if name is None and remove is None:
        _list(snapshots[0], configured)


def _tell_of_differences(snapshots: "list[Snapshot]") -> None:
    from kodolly.echo import echo_line
    from kodolly.operate.arms import names_in_words

    first = names_in_words(snapshots[0])
    for other in snapshots[1:]:
        if names := sorted(name for name, _ in set(first.items()) ^ set(names_in_words(other).items())):
            echo_line(f"The controllers differ: set {', '.join(dict.fromkeys(names))} again.", err=True)


def _tell_of_unserved(targets: Iterable[str], snapshot: "Snapshot") -> None:
    from kodolly.echo import echo_line

    served = {card.name for worker in snapshot.workers for card in worker.models}
    for target in targets:
        if target not in served:
            echo_line(f"No worker serves {target} now.", err=True)


def _list(snapshot: "Snapshot", configured: dict[str, str]) -> None:
    from kodolly.operate.arms import names_in_words
    from kodolly.operate.table import table

    known = names_in_words(snapshot)
    rows = [(alias, "->", to, "") for alias, to in known.items()]
    rows += [(a, "->", to, "(settings)") for a, to in configured.items() if a not in known]
    for line in table(rows):
        click.echo(line)
    if not rows:
        click.echo("No aliases.", err=True)
