"""`kodolly usage`."""

from datetime import datetime
from pathlib import Path
from typing import Any

import click

EPILOG = """\b
Examples:
  kodolly usage
  kodolly usage --by day --from 2026-11-01
  kodolly usage --by model --json
"""
DAY = click.DateTime(["%Y-%m-%d"])


@click.command("usage", epilog=EPILOG)
@click.option(
    "--by",
    type=click.Choice(["key", "model", "arm", "checkpoint", "day"]),
    default="key",
    show_default=True,
    help="What to sum up by.",
)
@click.option("--from", "since", type=DAY, help="First day (UTC).  [default: first of this month]")
@click.option("--to", "until", type=DAY, help="Last day (UTC).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(
    by: str, since: datetime | None, until: datetime | None, as_json: bool, config: Path | None
) -> None:
    """Show requests and tokens by key, model, arm, checkpoint or day, as the gateways have booked them.

    An arm is the model behind an alias; a checkpoint is the weights that answered. Where the settings have
    `gateway.prices`, the last column is the cost; a `+` behind it: some tokens have no price.
    """
    from datetime import UTC

    from common.settings import load_settings
    from kodolly.commands.keys import with_store
    from kodolly.echo import echo_json
    from server.accounts.keys import KeyStore
    from server.accounts.ledger import UsageReport
    from server.accounts.prices import Prices
    from server.settings import GatewaySettings

    first = since.date() if since else datetime.now(UTC).date().replace(day=1)
    last = until.date() if until else None
    settings = load_settings(GatewaySettings, {}, config)
    prices = Prices(settings.prices, settings.currency)

    async def read(engine: Any) -> tuple[list[dict[str, Any]], dict[str, str]]:
        rows = await UsageReport(engine, prices).priced_rows(by, first, last)
        return rows, {key.id: key.name for key in await KeyStore(engine).all()}

    rows, names = with_store(config, read)
    if as_json:
        echo_json(rows)
    else:
        _show(by, rows, names, prices.currency if prices.of else None)


def _show(by: str, rows: list[dict[str, Any]], names: dict[str, str], currency: str | None) -> None:
    """The table; a `currency` where there are prices."""
    from kodolly.operate.table import table
    from server.store.tables import COUNTS

    head = [by.upper(), "OK", "CANCELLED", "FAILED", "REFUSED", "PROMPT", "ANSWER", "CACHED", "ESTIMATED"]
    head += ["WITHHELD", "FLAGGED"] + ([currency] if currency else [])
    lines = []
    for row in rows:
        name = f"{row[by]} {names[row[by]]}" if row[by] in names else str(row[by]) or "-"
        line = [name, *(f"{row[count]:,}" for count in COUNTS)]
        if currency:
            line.append(f"{row['cost']:,.4f}{'+' if row['unpriced_tokens'] else ''}")
        lines.append(line)
    click.echo("\n".join(table([head, *lines], right=range(1, len(head)))))
