"""Calling a worker back at the address it claims: is it really there, with the models it names?

The address is checked against the allowed networks first, and the connection goes to the very address
that was checked, so that a registration can't make us call arbitrary hosts (server-side request forgery).
"""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

import httpx2

from common.address import well_formed_address
from common.engine_questions import KeyRefused, ListedModel, NotServing, list_models
from common.registry import Registration
from common.tls import trusted_certificates
from controller.settings import Network

TIMEOUT_S = 3.0


class CallbackRefused(Exception):
    """The address may not be called, or did not answer as a worker; the message says which."""


async def check_address(url: str, networks: Sequence[Network]) -> tuple[SplitResult, str]:
    """(parts of `url`, the IP address to call). Raises CallbackRefused."""
    try:
        parts = urlsplit(well_formed_address(url))
    except ValueError as error:
        raise CallbackRefused("its URL is not http(s)://host:port and nothing more") from error
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            parts.hostname, parts.port or 80, type=socket.SOCK_STREAM
        )
    except (OSError, UnicodeError) as error:
        raise CallbackRefused(f"its host name {(parts.hostname or '')[:100]!r} does not resolve") from error
    addresses = [str(info[4][0]) for info in found]
    for address in addresses:
        # Every address must be allowed: the one that is called could be any of them.
        if not any(ip_address(address) in network for network in networks):
            raise CallbackRefused(f"its address {address} is outside controller.allow_networks")
    return parts, addresses[0]


async def call_back(said: Registration, networks: Sequence[Network]) -> None:
    """Ask the worker for its models, within TIMEOUT_S. Raises CallbackRefused when it is not what it says."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            parts, address = await check_address(said.url, networks)
            listed = await _list_models(parts, address, said.engine_key.get_secret_value())
    except TimeoutError as error:
        raise CallbackRefused(f"it does not answer at its address within {TIMEOUT_S:.0f} s") from error
    missing = [card.name for card in said.models if card.name not in listed]
    if missing:
        raise CallbackRefused(f"the engine at its address does not serve {missing[0]!r}")


async def _list_models(parts: SplitResult, address: str, key: str) -> Mapping[str, ListedModel]:
    host = f"[{address}]" if ":" in address else address
    url = f"{parts.scheme}://{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
    extensions = {"sni_hostname": parts.hostname}
    try:
        async with httpx2.AsyncClient(
            timeout=TIMEOUT_S, trust_env=False, verify=trusted_certificates()
        ) as client:
            return await list_models(client, url, key, headers={"host": parts.netloc}, extensions=extensions)
    except KeyRefused as problem:
        raise CallbackRefused(f"the engine at its address {str(problem).removeprefix('it ')}") from problem
    except NotServing as problem:
        raise CallbackRefused(f"it does not answer at its address as an engine does: {problem}") from problem
