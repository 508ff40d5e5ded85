"""Votes and ratings from the gateway, all pages of them."""

import json
import os
from collections.abc import Collection
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx2

from common.errors import UserError
from common.feedback import Excluded, Kind, StoredKind
from kodolly.clients.gateway_access import auth_headers

PAGE = 500
"""Rows of one page, which with their conversations are a few MB."""
TIMEOUT_S = 60.0
MARKED_AT_ONCE = 5000


def fetch_feedback(
    gateway: str, kind: StoredKind, since: datetime | None = None, excluded: Excluded = "no"
) -> list[dict[str, Any]]:
    """All that the gateway shows, the newest first, none of before `since` (UTC). Raises UserError.

    excluded: whether with what administrators have left out.

    With KODOLLY_ADMIN_TOKEN or an admin key that is everybody's, else the key's own.
    """
    found: list[dict[str, Any]] = []
    cursors: set[str] = set()
    with httpx2.Client(headers=admin_headers(), timeout=TIMEOUT_S, trust_env=False) as client:
        after: str | None = None
        while True:
            rows, after = _page(client, gateway, kind, after, since, excluded)
            found += rows
            if after is None:
                return found
            if after in cursors:
                raise UserError(f"{gateway} gives the same page of {kind} again and again.")
            cursors.add(after)


def excluded_ids(gateway: str) -> frozenset[str]:
    """Ids of the votes and ratings that administrators have left out. Raises UserError."""
    kinds: tuple[Kind, ...] = ("votes", "ratings")
    rows = [row for kind in kinds for row in fetch_feedback(gateway, kind, excluded="only")]
    # A gateway from before there was such a thing lists everything.
    return frozenset(str(row["id"]) for row in rows if row.get("excluded") is True)


def _page(
    client: httpx2.Client,
    gateway: str,
    kind: StoredKind,
    after: str | None,
    since: datetime | None,
    excluded: Excluded,
) -> tuple[list[dict[str, Any]], str | None]:
    params: dict[str, str | int] = {"limit": PAGE, "excluded": excluded}
    if after is not None:
        params["after"] = after
    if since is not None:
        params["since"] = since.isoformat()
    answer = _asked(client, "GET", f"{gateway}/v1/feedback/{kind}", params)
    try:
        page = json.loads(answer.raise_for_status().content)
        rows: list[dict[str, Any]] = page["data"]
        following: str | None = page.get("next")
    except (httpx2.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{gateway} is not a kodolly gateway.") from error
    return rows, following


def forget_rater(gateway: str, rater_id: str) -> tuple[int, int, int]:
    """Delete everything of one rater; returns the numbers of votes, ratings and conversations. Raises
    UserError."""
    url = f"{gateway}/v1/feedback/raters/{quote(rater_id, safe='')}"
    with httpx2.Client(headers=admin_headers(), timeout=TIMEOUT_S, trust_env=False) as client:
        answer = _asked(client, "DELETE", url, {})
    try:
        gone = json.loads(answer.raise_for_status().content)
        return int(gone["votes"]), int(gone["ratings"]), int(gone["conversations"])
    except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{gateway} is not a kodolly gateway of this version.") from error


def mark_used(gateway: str, run: str, ids: Collection[str], votes: Collection[str]) -> int:
    """Note at the gateway that a training of this name used these; `votes` tells which of them are votes.
    Returns how many of them the gateway found. Raises UserError."""
    marked = 0
    ordered = sorted(ids)
    with httpx2.Client(headers=admin_headers(), timeout=TIMEOUT_S, trust_env=False) as client:
        for at in range(0, len(ordered), MARKED_AT_ONCE):
            part = ordered[at : at + MARKED_AT_ONCE]
            use = {
                "run": run,
                "votes": [one for one in part if one in votes],
                "ratings": [one for one in part if one not in votes],
            }
            answer = _asked(client, "POST", f"{gateway}/v1/feedback/used", {}, use)
            try:
                marked += int(json.loads(answer.raise_for_status().content)["marked"])
            except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
                raise UserError(f"{gateway} is not a kodolly gateway of this version.") from error
    return marked


def _asked(
    client: httpx2.Client, method: str, url: str, params: dict[str, str | int], body: Any = None
) -> httpx2.Response:
    try:
        answer = client.request(method, url, params=params, json=body)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise UserError(
            f"No gateway answers at {url.partition('/v1/')[0]}.",
            hint="Start one with `kodolly up`, or name it with --gateway.",
        ) from error
    if answer.status_code in (401, 403):
        raise UserError("The gateway asks for another API key.", hint="Put it into KODOLLY_API_KEY.")
    if answer.status_code in (400, 422) and (words := _refusal(answer)):
        raise UserError(words)
    return answer


def _refusal(answer: httpx2.Response) -> str:
    try:
        return str(json.loads(answer.content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return ""


def admin_headers() -> dict[str, str]:
    """The admin token where there is one, else the key."""
    admin = os.environ.get("KODOLLY_ADMIN_TOKEN")
    return {"authorization": f"Bearer {admin}"} if admin else auth_headers()
