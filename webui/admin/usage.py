"""Requests and tokens as the gateway has booked them."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from webui.failures import Failure
from webui.gateway_client import GatewayClient, GatewayError

GroupedBy = Literal["key", "model", "day"]


class UsageSums(BaseModel):
    """The sums of one key, model or day."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    name: str
    ok: int
    cancelled: int
    failed: int
    refused: int
    prompt_tokens: int
    completion_tokens: int
    withheld: int = 0
    flagged: int = 0
    """Requests that moderation has withheld or flagged."""
    cost: float | None = None
    """In the gateway's currency; None where it has no prices."""
    unpriced_tokens: int = 0
    """Tokens that are not in the cost: their model has no price."""

    @property
    def requests(self) -> int:
        """All requests, however they ended."""
        return self.ok + self.cancelled + self.failed + self.refused

    @property
    def tokens(self) -> int:
        """Tokens of prompts and answers together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class UsageReport:
    """All that was used since a day."""

    rows: list[UsageSums]
    currency: str | None
    """Of the costs; None where there are none."""


def first_of_month() -> date:
    """Budgets count from then (UTC)."""
    return datetime.now(UTC).date().replace(day=1)


async def read_usage(client: GatewayClient, by: GroupedBy, since: date) -> UsageReport:
    """Of everybody from that day on: days in their order, others with the most tokens first. Raises
    GatewayError."""
    told = await client.get("/admin/usage", {"by": by, "since": since.isoformat()})
    try:
        rows = [UsageSums.model_validate({**row, "name": str(row[by])}) for row in told["data"]]
    except (KeyError, TypeError, ValidationError) as error:
        message = "The gateway's usage is of another version."
        raise GatewayError(Failure(kind="other", message=message)) from error
    rows = rows if by == "day" else sorted(rows, key=lambda row: row.tokens, reverse=True)
    return UsageReport(rows, told.get("currency"))
