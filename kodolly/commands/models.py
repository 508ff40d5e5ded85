"""`kodolly models`."""

import json

import click

from kodolly.gateway_access import DEFAULT_URL

EPILOG = """\b
Examples:
  kodolly models
  kodolly models --json
"""


@click.command("models", epilog=EPILOG)
@click.option("--gateway", default=DEFAULT_URL, show_default=True, metavar="URL", help="The gateway to ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(gateway: str, as_json: bool) -> None:
    """List the models the gateway offers and the state of each."""
    from kodolly.gateway_access import fetch_status
    from kodolly.table import table

    models = fetch_status(gateway).models
    if as_json:
        click.echo(json.dumps([m.model_dump() for m in models], ensure_ascii=False, indent=2))
        return
    if not models:
        click.echo("No models yet: start a worker with `kodolly worker` or `kodolly up`.", err=True)
    rows = []
    for m in models:
        state = f"{m.state} {m.progress:.0%}" if m.state == "loading" else m.state
        about = m.provider or " ".join(filter(None, (m.method, m.base and f"from {m.base}", m.licence)))
        rows.append((m.id, state, about))
    for line in table(rows):
        click.echo(line)
