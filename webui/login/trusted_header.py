"""Login by a proxy in front (oauth2-proxy, Authelia, Caddy's forward_auth): it names the user in a header."""

import unicodedata
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from starlette.requests import Request

from common.errors import PermissionDenied
from webui.login.visitor import Visitor, user_id

NAME_CHARACTERS = 200


class TrustedHeader:
    """Takes the header from the proxy's addresses, and nothing at all from others: they would have come past
    the login."""

    def __init__(
        self, header: str, proxies: Sequence[IPv4Network | IPv6Network], admins: Sequence[str]
    ) -> None:
        self._header, self._proxies, self._admins = header, tuple(proxies), frozenset(admins)

    async def admit(self, request: Request, _opens_page: bool) -> Visitor:
        """Who the proxy says it is. Raises PermissionDenied."""
        peer = request.client.host if request.client else ""
        if not self._is_proxy(peer):
            raise PermissionDenied(
                f"{peer or 'This address'} is not the proxy that users log in at.",
                code="not_the_proxy",
                hint="Open the page at the proxy's address, or name its address in webui.login_proxies.",
            )
        name = self._name(request)
        return Visitor(user_id("header", name), name, admin=name in self._admins)

    def _name(self, request: Request) -> str:
        """Letter for letter: who could write another's name in a second way would be them."""
        header = self._header.lower().encode()
        told = [value.strip(b" \t") for name, value in request.headers.raw if name == header]
        if len(told) != 1 or not told[0]:
            raise _nobody(f"The proxy names {'several users' if told[1:] else 'no user'} in {self._header}.")
        try:
            name = told[0].decode()  # headers are bytes; proxies write UTF-8
        except UnicodeDecodeError as error:
            raise _nobody(f"The name in {self._header} is not UTF-8.") from error
        if len(name) > NAME_CHARACTERS or any(unicodedata.category(sign) == "Cc" for sign in name):
            raise _nobody(f"The name in {self._header} is too long, or holds control characters.")
        return name

    def _is_proxy(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._proxies)


def _nobody(message: str) -> PermissionDenied:
    return PermissionDenied(
        message,
        code="no_user_named",
        hint="Have the proxy ask for a login, drop the header that browsers send, and set it itself.",
    )
