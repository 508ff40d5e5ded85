"""`kodolly models`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from common.status import StatusModel

EPILOG = """\b
Examples:
  kodolly models
  kodolly models --json
  kodolly models --lineage
"""


@click.command("models", epilog=EPILOG)
@click.option("--gateway", metavar="URL", help="The gateway to ask.  [default: that of the settings]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--lineage", is_flag=True, help="Show which checkpoint `kodolly improve` made from which.")
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="With --lineage: where its turns lie.",
)
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(gateway: str | None, as_json: bool, lineage: bool, runs: Path, config: Path | None) -> None:
    """List the models that the gateway offers: their states, context lengths and origins."""
    from kodolly.clients.controller_access import find_gateway
    from kodolly.clients.gateway_access import fetch_status
    from kodolly.echo import echo_json, echo_line
    from kodolly.operate.table import table

    status = fetch_status(find_gateway(gateway, config))
    models = status.models
    if lineage:
        _show_lineage(runs, models)
        return
    if as_json:
        echo_json([m.model_dump() for m in models])
        return
    if not models:
        click.echo("No models yet: start a worker with `kodolly worker` or `kodolly up`.", err=True)
    rows = []
    for m in models:
        state = f"{m.state} {m.progress:.0%}" if m.state == "loading" else m.state
        about = m.provider or " ".join(filter(None, (m.method, m.base and f"from {m.base}", m.licence)))
        length = f"{m.context_length:,} tokens" if m.context_length else "-"
        rows.append((m.id, state, m.model_kind or "-", length, about))
    for line in table(rows, right=(3,)):
        click.echo(line)
    for provider in status.providers:
        for name in provider.hidden:
            outside = f"{provider.name}/{name}"
            echo_line(f"{name} stays in the house; {provider.name}'s model is called {outside}.", err=True)


def _show_lineage(runs: Path, models: "Sequence[StatusModel]") -> None:
    from kodolly.echo import echo_line
    from kodolly.improve.journal import journals
    from kodolly.improve.lineage import lineage

    serving: dict[str, str] = {}
    for model in models:
        if model.checkpoint is not None:
            serving[model.checkpoint] = ", ".join(filter(None, (serving.get(model.checkpoint), model.id)))
    lines = lineage(journals(runs), serving)
    if not lines:
        echo_line(f"No turn of `kodolly improve` lies in {runs}; name the directory with --runs.", err=True)
    for line in lines:
        echo_line(line)
