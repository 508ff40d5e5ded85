"""Login by a proxy in front (oauth2-proxy, Authelia, Caddy's forward_auth): it names the user in a header."""

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
        names = [name.strip() for name in request.headers.getlist(self._header)]
        if len(names) != 1 or not names[0] or len(names[0]) > NAME_CHARACTERS:
            raise PermissionDenied(
                f"The proxy names {'several users' if len(names) > 1 else 'no user'} in {self._header}.",
                code="no_user_named",
                hint="Have the proxy ask for a login, drop the header that browsers send, and set it itself.",
            )
        name = names[0].encode("latin-1").decode("utf-8", "replace")  # headers are bytes; proxies write UTF-8
        return Visitor(user_id("header", name), name, admin=name in self._admins)

    def _is_proxy(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._proxies)
