"""Calling a worker back at the address it claims: is it really there, with the models it names?

The address is checked against the allowed networks first, and the connection goes to the very address
that was checked, so that a registration can't make us call arbitrary hosts (server-side request forgery).
"""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

import httpx2

from common.registry import Registration
from controller.settings import Network

TIMEOUT_S = 3.0


class Refused(Exception):
    """The address may not be called, or did not answer as a worker; the message says which."""


async def check_address(url: str, networks: Sequence[Network]) -> tuple[SplitResult, str]:
    """(parts of `url`, the IP address to call). Raises Refused."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise Refused("its URL has no valid port") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refused("its URL is not http(s)://host:port")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
        raise Refused("its URL must be http(s)://host:port and nothing more")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            parts.hostname, port or 80, type=socket.SOCK_STREAM
        )
    except OSError as error:
        raise Refused(f"its host name {parts.hostname!r} does not resolve") from error
    addresses = [str(info[4][0]) for info in found]
    for address in addresses:
        # Every address must be allowed: the one that is called could be any of them.
        if not any(ip_address(address) in network for network in networks):
            raise Refused(f"its address {address} is outside controller.allow_networks")
    return parts, addresses[0]


async def call_back(said: Registration, networks: Sequence[Network]) -> None:
    """Ask the worker for its models. Raises Refused when it is not what it says."""
    parts, address = await check_address(said.url, networks)
    host = f"[{address}]" if ":" in address else address
    url = f"{parts.scheme}://{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}/v1/models"
    headers = {"host": parts.netloc}
    if key := said.engine_key.get_secret_value():
        headers["authorization"] = f"Bearer {key}"
    try:
        async with httpx2.AsyncClient(timeout=TIMEOUT_S, trust_env=False, follow_redirects=False) as client:
            answer = await client.get(url, headers=headers, extensions={"sni_hostname": parts.hostname})
            listed = {str(model["id"]) for model in answer.raise_for_status().json()["data"]}
    except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
        raise Refused("it does not answer at its address") from error
    missing = [card.name for card in said.models if card.name not in listed]
    if missing:
        raise Refused(f"the engine at its address does not serve {missing[0]!r}")
