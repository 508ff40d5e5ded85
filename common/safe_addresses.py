"""Addresses to which secrets may go."""

from urllib.parse import urlsplit

from common.own_hosts import is_loopback


def is_safe_address(url: str) -> bool:
    """Whether nobody on the way can read or change what goes there: https, or a process of this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))
