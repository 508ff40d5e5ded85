"""`kodolly keys`: directly on the gateway's store; a running gateway follows within two seconds."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kodolly.echo import echo_line

if TYPE_CHECKING:
    from server.accounts.keys import Key

EPILOG = """\b
Examples:
  kodolly keys create 웹팀 --requests-per-min 600 --tokens-per-min 200000 --concurrency 16
  kodolly keys create 평가 --model demo-dolly --budget-tokens 5000000
  kodolly keys create 관리자 --admin
  kodolly keys list
  kodolly keys update key_1f2e3d4c5b6a7988 --budget-tokens 9000000 --concurrency none
  kodolly keys revoke key_1f2e3d4c5b6a7988
"""
CONFIG = click.option(
    "--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]"
)
POSITIVE = click.IntRange(min=1, max=2**53)


class LimitOption(click.ParamType[int | None]):
    """A limit, or `none` to lift it, which comes as 0: None means that the option was not given."""

    name = "integer|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if str(value).lower() == "none":
            return 0
        return int(POSITIVE.convert(value, param, ctx))


class Expiry(click.ParamType[datetime | None]):
    """The moment at which a key ends; `none` comes as the earliest one."""

    name = "DAYSd|YYYY-MM-DD|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        text = str(value).lower()
        try:
            if text == "none":
                return NEVER
            if text.endswith("d") and text[:-1].isdecimal() and int(text[:-1]) > 0:
                return datetime.now(UTC) + timedelta(days=int(text[:-1]))
            day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
            return day + timedelta(days=1)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither days, as 30d, nor a date, as 2026-12-31.", param, ctx)


NEVER = datetime.min.replace(tzinfo=UTC)
EXPIRES = click.option(
    "--expires", type=Expiry(), help="When it ends: after so many days, or with that day (UTC)."
)


@click.group("keys", epilog=EPILOG)
def command() -> None:
    """Make, list, change and revoke API keys.

    With the first key the gateway begins to ask for one; the web UI and the other commands then send
    KODOLLY_API_KEY.
    """


@command.command("create")
@click.argument("name")
@click.option("--model", "models", multiple=True, metavar="NAME", help="Model it may use; may be repeated.")
@click.option("--requests-per-min", type=POSITIVE, help="Requests a minute.")
@click.option("--tokens-per-min", type=POSITIVE, help="Tokens a minute, prompt and answer together.")
@click.option("--concurrency", type=POSITIVE, help="Requests at once.")
@click.option("--budget-tokens", type=POSITIVE, help="Tokens a calendar month (UTC).")
@EXPIRES
@click.option("--admin", is_flag=True, help="It may manage keys and see all usage over HTTP.")
@CONFIG
def create(
    name: str, models: tuple[str, ...], expires: datetime | None, config: Path | None, **limits: Any
) -> None:
    """Make a key and print its secret, this once."""
    from server.accounts.keys import Key, KeyStore, new_key_id

    allowed = frozenset(models) if models else None
    ends = None if expires == NEVER else expires
    key = Key(id=new_key_id(), name=name, models=allowed, expires=ends, **limits)
    secret = with_store(config, lambda database: KeyStore(database).create(key))
    echo_line(f"{key.id} {name}", err=True)
    echo_line(secret)
    click.echo("Keep it now: it is not shown again.", err=True)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@CONFIG
def list_keys(as_json: bool, config: Path | None) -> None:
    """List the keys, revoked ones too. Secrets are not kept anywhere."""
    import dataclasses

    from kodolly.echo import echo_json
    from kodolly.operate.table import table
    from server.accounts.keys import KeyStore

    keys: list[Key] = with_store(config, lambda database: KeyStore(database).all())
    if as_json:
        rows = [
            dataclasses.asdict(key) | {"models": None if key.models is None else sorted(key.models)}
            for key in keys
        ]
        echo_json(rows)
        return
    head = ["ID", "NAME", "MODELS", "REQ/MIN", "TOKENS/MIN", "AT ONCE", "TOKENS/MONTH", "EXPIRES", "STATE"]
    click.echo("\n".join(table([head, *map(_row, keys)], right=(3, 4, 5, 6))))


def _row(key: "Key") -> list[str]:
    limits = (key.requests_per_min, key.tokens_per_min, key.concurrency, key.budget_tokens)
    ended = key.expires is not None and key.expires <= datetime.now(UTC)
    state = "revoked" if key.revoked else "expired" if ended else "admin" if key.admin else "in force"
    expires = "-" if key.expires is None else f"{key.expires:%Y-%m-%d %H:%M}"
    models = "all" if key.models is None else ", ".join(sorted(key.models))
    return [
        key.id,
        key.name,
        models,
        *("-" if limit is None else f"{limit:,}" for limit in limits),
        expires,
        state,
    ]


@command.command("update")
@click.argument("key_id")
@click.option("--name", help="Its new name.")
@click.option(
    "--model", "models", multiple=True, metavar="NAME", help="Models it may use from now on; `all` for all."
)
@click.option("--requests-per-min", type=LimitOption(), help="Requests a minute.")
@click.option("--tokens-per-min", type=LimitOption(), help="Tokens a minute, prompt and answer together.")
@click.option("--concurrency", type=LimitOption(), help="Requests at once.")
@click.option("--budget-tokens", type=LimitOption(), help="Tokens a calendar month (UTC).")
@EXPIRES
@click.option(
    "--admin/--no-admin", default=None, help="Whether it may manage keys and see all usage over HTTP."
)
@CONFIG
def update(
    key_id: str,
    name: str | None,
    models: tuple[str, ...],
    expires: datetime | None,
    admin: bool | None,
    config: Path | None,
    **limits: int | None,
) -> None:
    """Change a key that is in force; what is not named stays. `none` lifts a limit.

    Every gateway follows within two seconds. The secret stays.
    """
    from server.accounts.keys import KeyStore

    values: dict[str, Any] = {field: limit or None for field, limit in limits.items() if limit is not None}
    if name is not None:
        if not 1 <= len(name) <= 200:
            raise click.UsageError("A name has 1 to 200 characters.")
        values["name"] = name
    if models:
        values["models"] = None if models == ("all",) else sorted(set(models))
    if expires is not None:
        values["expires"] = None if expires == NEVER else expires
    if admin is not None:
        values["admin"] = admin
    if not values:
        raise click.UsageError("Say what to change: `kodolly keys update --help` lists it.")
    with_store(config, lambda database: KeyStore(database).change(key_id, values))
    echo_line(f"{key_id} is changed.")


@command.command("revoke")
@click.argument("key_id")
@CONFIG
def revoke(key_id: str, config: Path | None) -> None:
    """Take a key out of force, at every gateway within two seconds."""
    from server.accounts.keys import KeyStore

    with_store(config, lambda database: KeyStore(database).revoke(key_id))
    echo_line(f"{key_id} is revoked.")


def with_store(config: Path | None, work: Any) -> Any:
    """Run `work(database)` on the store that the gateway's settings name."""
    import asyncio

    from common.settings import load_settings
    from server.settings import GatewaySettings
    from server.store.opening import open_store

    settings = load_settings(GatewaySettings, {}, config)

    async def run() -> Any:
        async with open_store(settings.store_url()) as store:
            return await work(store.database)

    return asyncio.run(run())
