"""Where a server answers: `http(s)://host:port` and nothing more. One rule for registrations and settings."""

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated

from pydantic import AfterValidator

_ADDRESS = re.compile(r"(https?)://(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?/?", re.ASCII)
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)
_MOST_NAME = 253
"""Characters of a host name (RFC 1035, 2.3.4)."""


def well_formed_address(url: str) -> str:
    """`url` without a slash at its end.

    Raises ValueError for anything but http(s), a host that can be one (name, IPv4, IPv6 in brackets) and a
    port from 1 to 65535, which may be left out. No user, path, query or fragment.
    """
    found = _ADDRESS.fullmatch(url)
    if found is None or not _is_host(found[2], found[3]) or not 0 < int(found[4] or 80) < 65536:
        raise ValueError("it must look like http://10.0.0.7:21002 or http://[fd00::7]:21002")
    return url.rstrip("/")


def _is_host(ipv6: str | None, name: str | None) -> bool:
    try:
        if ipv6 is not None:
            IPv6Address(ipv6)
            return True
        labels = (name or "").removesuffix(".").split(".")
        if labels[-1].isdigit():  # no top-level domain is a number
            IPv4Address(name)
            return True
    except ValueError:
        return False
    return len(name or "") <= _MOST_NAME and all(_LABEL.fullmatch(label) for label in labels)


Address = Annotated[str, AfterValidator(well_formed_address)]
"""http(s)://host:port and nothing more."""
