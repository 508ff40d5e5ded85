"""How the terminal commands reach the gateway: its URL, the key, and errors in one line."""

import json
import os

import httpx2

from common.errors import UserError
from common.status import Status

DEFAULT_URL = "http://127.0.0.1:8000"


def gateway_key() -> str:
    """KODOLLY_API_KEY, else the first of KODOLLY_API_KEYS, else ""."""
    if key := os.environ.get("KODOLLY_API_KEY"):
        return key
    try:
        keys = json.loads(os.environ.get("KODOLLY_API_KEYS") or "[]")
    except ValueError:
        return ""
    return str(keys[0]) if keys else ""


def auth_headers() -> dict[str, str]:
    """The Authorization header for our gateway, when there is a key."""
    key = gateway_key()
    return {"authorization": f"Bearer {key}"} if key else {}


def fetch_status(url: str, timeout_s: float = 3.0) -> Status:
    """GET /v1/status, with a key or, as inside a gateway's container, the admin token. Raises UserError that
    says what to do."""
    key = gateway_key() or os.environ.get("KODOLLY_ADMIN_TOKEN", "")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx2.get(f"{url}/v1/status", headers=headers, timeout=timeout_s, trust_env=False)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise UserError(
            f"No gateway answers at {url}.", hint="Start one with `kodolly up`, or name it with --gateway."
        ) from error
    if answer.status_code == 401:
        raise UserError("The gateway asks for an API key.", hint="Put it into KODOLLY_API_KEY.")
    try:
        return Status.model_validate_json(answer.raise_for_status().content)
    except (httpx2.HTTPError, ValueError) as error:
        raise UserError(f"{url} is not a kodolly gateway.") from error
