"""Calling a worker back at the address it claims: is it really there, with the models it names?

The address is checked against the allowed networks first, and the connection goes to the very address
that was checked, so that a registration can't make us call arbitrary hosts (server-side request forgery).
"""

import asyncio
import json
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

import httpx2

from common.registry import Registration
from controller.settings import Network

TIMEOUT_S = 3.0
ANSWER_BYTES = 1024 * 1024


class Refused(Exception):
    """The address may not be called, or did not answer as a worker; the message says which."""


async def check_address(url: str, networks: Sequence[Network]) -> tuple[SplitResult, str]:
    """(parts of `url`, the IP address to call). Raises Refused."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Refused("its URL has no valid host and port") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refused("its URL is not http(s)://host:port")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise Refused("its URL must be http(s)://host:port and nothing more")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            parts.hostname, port or 80, type=socket.SOCK_STREAM
        )
    except (OSError, UnicodeError) as error:
        raise Refused(f"its host name {parts.hostname[:100]!r} does not resolve") from error
    addresses = [str(info[4][0]) for info in found]
    for address in addresses:
        # Every address must be allowed: the one that is called could be any of them.
        if not any(ip_address(address) in network for network in networks):
            raise Refused(f"its address {address} is outside controller.allow_networks")
    return parts, addresses[0]


async def call_back(said: Registration, networks: Sequence[Network]) -> None:
    """Ask the worker for its models, within TIMEOUT_S. Raises Refused when it is not what it says."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            parts, address = await check_address(said.url, networks)
            listed = await _list_models(parts, address, said.engine_key.get_secret_value())
    except TimeoutError as error:
        raise Refused(f"it does not answer at its address within {TIMEOUT_S:.0f} s") from error
    missing = [card.name for card in said.models if card.name not in listed]
    if missing:
        raise Refused(f"the engine at its address does not serve {missing[0]!r}")


async def _list_models(parts: SplitResult, address: str, key: str) -> set[str]:
    host = f"[{address}]" if ":" in address else address
    url = f"{parts.scheme}://{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}/v1/models"
    headers = {"host": parts.netloc} | ({"authorization": f"Bearer {key}"} if key else {})
    extensions = {"sni_hostname": parts.hostname}
    try:
        async with (
            httpx2.AsyncClient(timeout=TIMEOUT_S, trust_env=False, follow_redirects=False) as client,
            client.stream("GET", url, headers=headers, extensions=extensions) as answer,
        ):
            if answer.status_code in (401, 403):
                raise Refused("the engine at its address refuses its key")
            body = b""
            async for chunk in answer.raise_for_status().aiter_bytes():
                body += chunk
                if len(body) > ANSWER_BYTES:
                    raise Refused("the answer at its address is no list of models")
            return {str(model["id"]) for model in json.loads(body)["data"]}
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, KeyError, TypeError) as error:
        raise Refused("it does not answer at its address as an engine does") from error
