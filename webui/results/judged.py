"""Votes and ratings themselves, page by page, as the gateway lists them."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from common.feedback import Kind
from common.leaderboard.judgements import Filter, contender, rating_of, vote_of
from webui.failures import Failure
from webui.gateway_client import GatewayClient, GatewayError
from webui.results.figures import Query

PAGE_ROWS = 200
SHOWN = 20
"""Most judgements that are shown one by one."""
LOOKED_AT = 4000
"""How many of the newest are searched for those: one view of the page must not read the whole store."""

JudgementRow = dict[str, Any]


async def judged(client: GatewayClient, kind: Kind, only: Filter) -> AsyncGenerator[list[JudgementRow], None]:
    """The rows that the filter lets through, the newest first, a page at a time. Raises GatewayError."""
    params: dict[str, Any] = {"limit": PAGE_ROWS}
    if only.since is not None:
        params["since"] = only.since.isoformat()
    cursors: set[str] = set()
    while True:
        page = await client.get(f"/v1/feedback/{kind}", params)
        try:
            rows, after = page["data"], page.get("next")
            yield [row for row in rows if only.admits(_about(kind, row))]
        except (KeyError, TypeError, ValueError) as error:
            failure = Failure(kind="other", message="The gateway's feedback is of another version.")
            raise GatewayError(failure) from error
        if after is None or after in cursors:
            return
        cursors.add(after)
        params["after"] = after


async def shown(client: GatewayClient, query: Query) -> list[JudgementRow]:
    """The newest judgements on `query.model`. Raises GatewayError."""
    kind: Kind = "ratings" if query.what == "ratings" else "votes"
    found: list[JudgementRow] = []
    seen = 0
    async with aclosing(judged(client, kind, query.filter())) as pages:
        async for rows in pages:
            found += [row for row in rows if _is_meant(row, kind, query)]
            seen += PAGE_ROWS
            if len(found) >= SHOWN or seen >= LOOKED_AT:
                break
    return found[:SHOWN]


def _is_meant(row: JudgementRow, kind: Kind, query: Query) -> bool:
    sides = ("answer",) if kind == "ratings" else ("left", "right")
    names = {contender(row[side]).name for side in sides}
    return query.model in names and (query.rival is None or names == {query.model, query.rival})


def _about(kind: Kind, row: JudgementRow) -> Any:
    return vote_of(row).about if kind == "votes" else rating_of(row).about
