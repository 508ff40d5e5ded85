"""Keys as the gateway's /admin tells of them, and what a form says about one."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from webui.admin.desk import FormRefused
from webui.failures import Failure
from webui.gateway_client import GatewayClient, GatewayError

LIMITS = ("requests_per_min", "tokens_per_min", "concurrency", "budget_tokens")
MOST = 2**53
"""The largest number that the gateway takes as a limit."""
NAME_CHARACTERS = 200


class ListedKey(BaseModel):
    """One key, without its secret."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    id: str
    name: str
    models: tuple[str, ...] | None = None
    requests_per_min: int | None = None
    tokens_per_min: int | None = None
    concurrency: int | None = None
    budget_tokens: int | None = None
    admin: bool = False
    created: AwareDatetime | None = None
    expires: AwareDatetime | None = None
    revoked: AwareDatetime | None = None
    version: str
    """A value that changes with the key: a form shows it, and a change made on an old one is refused."""

    @property
    def state(self) -> str:
        """in_force, expired or revoked."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= datetime.now(UTC) else "in_force"


def wishes(form: Mapping[str, str]) -> dict[str, Any]:
    """Name, models, limits and the moment of expiry as the gateway takes them. Raises FormRefused."""
    name = form.get("name", "").strip()
    if not 0 < len(name) <= NAME_CHARACTERS:
        raise FormRefused("name")
    models = tuple(part.strip() for part in form.get("models", "").split(",") if part.strip())
    last_day = form.get("expires", "").strip()
    return {
        "name": name,
        "models": models or None,
        "expires": _end_of(last_day).isoformat() if last_day else None,
        **{limit: _number(limit, form.get(limit, "")) for limit in LIMITS},
    }


def _number(name: str, written: str) -> int | None:
    bare = written.replace(",", "").replace("_", "").strip()
    if not bare:
        return None
    if not (bare.isascii() and bare.isdigit()) or len(bare) > 16 or not 0 < int(bare) <= MOST:
        raise FormRefused(name)
    return int(bare)


def _end_of(day: str) -> datetime:
    """The day after, at midnight UTC, as `kodolly keys --expires` has it."""
    try:
        return datetime.combine(date.fromisoformat(day) + timedelta(days=1), time(), UTC)
    except (ValueError, OverflowError) as error:
        raise FormRefused("expires") from error


async def read_keys(client: GatewayClient) -> list[ListedKey]:
    """Every key, those in force first and of them the newest. Raises GatewayError."""
    told = await client.get("/admin/keys")
    try:
        keys = [ListedKey.model_validate(row) for row in told["data"]]
    except (KeyError, TypeError, ValidationError) as error:
        message = "The gateway's list of keys is of another version."
        raise GatewayError(Failure(kind="other", message=message)) from error
    newest_first = reversed(keys)
    return sorted(newest_first, key=lambda key: key.state != "in_force")
