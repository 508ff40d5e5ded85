"""`kodolly feedback forget`."""

import click

from kodolly.clients.gateway_access import DEFAULT_URL
from kodolly.echo import echo_line


@click.command("forget", epilog="\b\nExamples:\n  kodolly feedback forget browser-4f1c\n")
@click.argument("rater")
@click.option("--gateway", default=DEFAULT_URL, show_default=True, help="Its key: KODOLLY_API_KEY.")
def command(rater: str, gateway: str) -> None:
    """Delete every vote and rating of RATER (`rater_id` in an export) and the conversations that RATER had
    (`user` in a request) or judged."""
    from kodolly.clients.feedback_pages import forget_rater

    votes, ratings, conversations = forget_rater(gateway, rater)
    said = f"{votes} votes, {ratings} ratings, {conversations} conversations"
    echo_line(f"Deleted: {said}. Backups and exports still have them.")
