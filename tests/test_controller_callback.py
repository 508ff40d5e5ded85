"""Which addresses the controller may call back: whatever a registration says."""

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.callback import CallbackRefused, check_address
from controller.settings import PRIVATE_NETWORKS


@given(st.ip_addresses())
def test_an_address_is_called_exactly_when_a_network_allows_it(
    address: IPv4Address | IPv6Address,
) -> None:
    host = f"[{address}]" if address.version == 6 else str(address)
    allowed = any(address in network for network in PRIVATE_NETWORKS)
    try:
        _, called = asyncio.run(check_address(f"http://{host}:21002", PRIVATE_NETWORKS))
    except CallbackRefused:
        assert not allowed
    else:
        assert allowed
        assert ip_address(called) == address


REAL = socket.getaddrinfo


def numbers_only(host: str, port: int, *_rest: Any) -> Any:
    """getaddrinfo without asking a name server."""
    return REAL(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)


@given(st.text(max_size=60))
def test_no_text_makes_it_call_elsewhere_or_fail_otherwise(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", numbers_only)
        try:
            _, called = asyncio.run(check_address(f"http://127.0.0.1{text}", PRIVATE_NETWORKS[:1]))
        except CallbackRefused:
            return
    assert ip_address(called) in PRIVATE_NETWORKS[0]


async def test_a_name_with_one_foreign_address_among_its_own_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def resolve(*_args: Any, **_options: Any) -> list[tuple[Any, ...]]:
        found = ("10.0.0.7", "169.254.169.254")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    with pytest.raises(CallbackRefused, match=r"169\.254\.169\.254 is outside"):
        await check_address("http://worker.example:80", PRIVATE_NETWORKS)
