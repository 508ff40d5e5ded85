"""`kodolly models`."""

from pathlib import Path

import click

EPILOG = """\b
Examples:
  kodolly models
  kodolly models --json
"""


@click.command("models", epilog=EPILOG)
@click.option("--gateway", metavar="URL", help="The gateway to ask.  [default: that of the settings]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(gateway: str | None, as_json: bool, config: Path | None) -> None:
    """List the models that the gateway offers: their states, context lengths and origins."""
    from kodolly.clients.controller_access import find_gateway
    from kodolly.clients.gateway_access import fetch_status
    from kodolly.echo import echo_json, echo_line
    from kodolly.operate.table import table

    status = fetch_status(find_gateway(gateway, config))
    models = status.models
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
