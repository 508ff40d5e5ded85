"""Which HTTP proxy a provider is reached through. Workers and controllers never are.

The environment is read as curl does it: HTTPS_PROXY or HTTP_PROXY by the scheme of the target, else
ALL_PROXY, in small letters first; NO_PROXY names hosts, domains, addresses and networks that are reached
directly.
"""

import base64
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from common.address import well_formed_address

NO_PROXY = "none"
"""Setting of a provider that is reached directly, whatever the environment says."""
EXAMPLE = "it must look like http://proxy.example:3128 (SOCKS is not supported), or be `none`"


class Proxy(NamedTuple):
    """An HTTP proxy."""

    host: str
    port: int
    tls: bool = False
    authorization: bytes = b""
    """Value of `Proxy-Authorization`; b"" for none."""
    problem: str = ""
    """Why it cannot be used; it is never gone around."""

    def __repr__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_proxy(url: str) -> Proxy:
    """The proxy at `url`, `http(s)://[user:password@]host[:port]`. Raises ValueError."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    netloc = parts.netloc.rpartition("@")[2]
    try:
        well_formed_address(f"{parts.scheme}://{netloc}")
    except ValueError:
        raise ValueError(EXAMPLE) from None
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(EXAMPLE)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    token = base64.b64encode(f"{user}:{password}".encode()) if user or password else b""
    tls = parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    return Proxy(parts.hostname or "", port, tls, b"Basic " + token if token else b"")


def proxy_for(url: str, setting: str | None, environ: Mapping[str, str | None]) -> Proxy | None:
    """The proxy on the way to `url`: that of the setting, else of the environment; None to go directly."""
    if setting is not None:
        return None if setting == NO_PROXY else parse_proxy(setting)
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    named = _variable(environ, f"{parts.scheme}_proxy") or _variable(environ, "all_proxy")
    if not named or is_excepted(parts.hostname or "", port, _variable(environ, "no_proxy")):
        return None
    try:
        return parse_proxy(named)
    except ValueError:
        # Another way than the one that was asked for would be worse than none.
        return Proxy("", 0, problem=f"the proxy that the environment names cannot be used: {EXAMPLE}")


def _variable(environ: Mapping[str, str | None], name: str) -> str:
    return (environ.get(name) or environ.get(name.upper()) or "").strip()


def is_excepted(host: str, port: int, no_proxy: str) -> bool:
    """Whether NO_PROXY names this target: `*`, a host or its domain (with or without a leading dot or `*.`),
    an address, a network such as 10.0.0.0/8; each but the network also with `:port`.
    """
    return any(_names(entry, host.lower(), port) for entry in no_proxy.lower().replace(",", " ").split())


def _names(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        return _in_network(host, entry)
    bare, colon, number = entry.rpartition(":")
    if colon and number.isdigit() and (":" not in bare or bare.endswith("]")):
        if int(number) != port:
            return False
        entry = bare
    entry = entry.strip("[]").removeprefix("*").strip(".")
    return bool(entry) and (host == entry or host.endswith(f".{entry}"))


def _in_network(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False
