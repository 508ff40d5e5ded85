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

    An arm is the model behind an alias; a checkpoint is the weights that answered.
    """
    from datetime import UTC

    from kodolly.commands.keys import with_store
    from kodolly.echo import echo_json
    from kodolly.operate.table import table
    from server.accounts.keys import KeyStore
    from server.accounts.ledger import UsageReport
    from server.store.tables import COUNTS

    first = since.date() if since else datetime.now(UTC).date().replace(day=1)
    last = until.date() if until else None

    async def read(engine: Any) -> tuple[list[dict[str, Any]], dict[str, str]]:
        rows = await UsageReport(engine).rows(by, first, last)
        return rows, {key.id: key.name for key in await KeyStore(engine).all()}

    rows, names = with_store(config, read)
    if as_json:
        echo_json(rows)
        return
    lines = []
    for row in rows:
        name = f"{row[by]} {names[row[by]]}" if row[by] in names else str(row[by]) or "-"
        lines.append([name, *(f"{row[count]:,}" for count in COUNTS)])
    head = [by.upper(), "OK", "CANCELLED", "FAILED", "REFUSED", "PROMPT", "ANSWER", "CACHED", "ESTIMATED"]
    click.echo("\n".join(table([head, *lines], right=range(1, len(head)))))
