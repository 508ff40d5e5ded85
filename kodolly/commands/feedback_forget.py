"""`kodolly feedback forget`."""

from pathlib import Path

import click

from kodolly.clients.gateway_access import DEFAULT_URL
from kodolly.echo import echo_line


@click.command("forget", epilog="\b\nExamples:\n  kodolly feedback forget browser-4f1c\n")
@click.argument("rater")
@click.option("--gateway", default=DEFAULT_URL, show_default=True, help="Its key: KODOLLY_API_KEY.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(rater: str, gateway: str, config: Path | None) -> None:
    """Delete everything of RATER (`rater_id` in an export). At the gateway: votes, ratings, and the
    conversations that RATER had (`user` in a request) or judged. In the web UI's store, where it is on this
    machine or webui.database_url names it: conversations, shared addresses, presets, settings, logins and
    what RATER judged in studies."""
    from kodolly.clients.feedback_pages import forget_rater

    if not rater:
        raise click.BadParameter("it is empty.", param_hint="RATER")
    said = _forget_in_webui(rater, config)
    # Second: what the web UI still had to send would come back otherwise.
    votes, ratings, conversations = forget_rater(gateway, rater)
    echo_line(f"Deleted: {votes} votes, {ratings} ratings, {conversations} conversations.")
    echo_line(said)
    echo_line("Backups and exports still have them.")


def _forget_in_webui(rater: str, config: Path | None) -> str:
    """What to say of it."""
    from common.redact import redacted_url
    from common.store_backup import is_there
    from kodolly.stores import configured_stores
    from webui.store.backup import WEBUI_STORE

    url = configured_stores(config)[WEBUI_STORE]
    if not is_there(WEBUI_STORE, url):
        return f"The web UI's store is not here ({redacted_url(url)}): say it on its machine, too."

    import asyncio

    from webui.store.page_store import PageStore

    async def forget() -> str:
        store = PageStore(url)
        try:
            gone = await store.users.forget_rater(rater)
        finally:
            await store.close()
        counted = f"{gone.conversations} conversations, {gone.presets} presets"
        return f"Deleted in the web UI: {counted}, {gone.judgements} judgements of studies."

    return asyncio.run(forget())
