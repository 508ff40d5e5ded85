"""`kodolly feedback export`."""

from datetime import datetime
from pathlib import Path

import click

from common.feedback import StoredKind
from kodolly.clients.gateway_access import DEFAULT_URL
from kodolly.echo import echo_line

EPILOG = """\b
Examples:
  kodolly feedback export --output feedback.jsonl
  kodolly feedback export --output week.jsonl --since 2026-11-21T00:00:00
"""


@click.command("export", epilog=EPILOG)
@click.option("--gateway", default=DEFAULT_URL, show_default=True, help="Its key: KODOLLY_API_KEY.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="JSONL, the newest first.")
@click.option("--since", type=click.DateTime(), help="Nothing of before (UTC).")
@click.option("--conversations", is_flag=True, help="Also those that nobody judged (feedback_store: all).")
@click.option("--unmasked", is_flag=True, help="Leave personal data in texts as they are.")
def command(gateway: str, output: Path, since: datetime | None, conversations: bool, unmasked: bool) -> None:
    """Write all votes and ratings, one a line; `kind` says which it is.

    Personal data in conversations, comments and corrections (resident numbers, phones, accounts and so on)
    gives way to words such as [전화번호].
    """
    from kodolly.clients.feedback_pages import fetch_feedback
    from kodolly.feedback_export import exported, write_lines

    lines, masked = [], 0
    kinds: tuple[StoredKind, ...] = (
        ("votes", "ratings", "conversations") if conversations else ("votes", "ratings")
    )
    for kind in kinds:
        for row in fetch_feedback(gateway, kind, since):
            line, count = exported(kind, row, mask=not unmasked)
            lines.append(line)
            masked += count
    write_lines(output, lines)
    what = "votes, ratings and conversations" if conversations else "votes and ratings"
    echo_line(f"{len(lines)} {what}: {output} ({masked} places masked)")
