"""Votes and ratings from the gateway, all pages of them."""

import json
import os
from typing import Any

import httpx2

from common.errors import UserError
from common.feedback import Kind
from kodolly.clients.gateway_access import auth_headers

PAGE = 500
"""Rows at a time: with their conversations a few MB."""
TIMEOUT_S = 60.0


def fetch_feedback(gateway: str, kind: Kind) -> list[dict[str, Any]]:
    """All that the gateway shows, the newest first. Raises UserError.

    With KODOLLY_ADMIN_TOKEN or an admin key that is everybody's, else the key's own.
    """
    found: list[dict[str, Any]] = []
    cursors: set[str] = set()
    with httpx2.Client(headers=_headers(), timeout=TIMEOUT_S, trust_env=False) as client:
        after: str | None = None
        while True:
            rows, after = _page(client, gateway, kind, after)
            found += rows
            if after is None:
                return found
            if after in cursors:
                raise UserError(f"{gateway} gives the same page of {kind} again and again.")
            cursors.add(after)


def _page(
    client: httpx2.Client, gateway: str, kind: Kind, after: str | None
) -> tuple[list[dict[str, Any]], str | None]:
    params: dict[str, str | int] = {"limit": PAGE} | ({"after": after} if after is not None else {})
    try:
        answer = client.get(f"{gateway}/v1/feedback/{kind}", params=params)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise UserError(
            f"No gateway answers at {gateway}.",
            hint="Start one with `kodolly up`, or name it with --gateway.",
        ) from error
    if answer.status_code in (401, 403):
        raise UserError("The gateway asks for another API key.", hint="Put it into KODOLLY_API_KEY.")
    try:
        page = json.loads(answer.raise_for_status().content)
        rows: list[dict[str, Any]] = page["data"]
        following: str | None = page.get("next")
    except (httpx2.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{gateway} is not a kodolly gateway.") from error
    return rows, following


def _headers() -> dict[str, str]:
    admin = os.environ.get("KODOLLY_ADMIN_TOKEN")
    return {"authorization": f"Bearer {admin}"} if admin else auth_headers()
