"""Under which names a server may be asked. A page can have any name lead to this machine (DNS rebinding), and
would then be taken for one of ours by the browser; it cannot choose ours."""

import json
import re
import socket
from contextlib import suppress
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

MOST_REMEMBERED = 64


def read_names(value: object) -> object:
    """A list as it is, a JSON list, or names with commas between them; of an address, its host."""
    if isinstance(value, str):
        value = _listed(value.strip())
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise ValueError("it must be names with commas between them, such as chat.example.kr, gateway")
    bare = [_bare(urlsplit(name).netloc if "//" in name else name) for name in value]
    return tuple(name for name in bare if name)


def _listed(text: str) -> object:
    if text.startswith("["):
        with suppress(ValueError):  # also an IPv6 address begins like this
            return json.loads(text)
    return re.split(r"[,\s]+", text)


HostNames = Annotated[tuple[str, ...], NoDecode, BeforeValidator(read_names)]


def is_loopback(host: str) -> bool:
    """Whether nobody outside this machine can come to this address or name."""
    bare = _bare(host)
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        return ip_address(bare).is_loopback
    except ValueError:
        return False


class OwnHosts:
    """Of one server."""

    def __init__(self, bound: str, configured: tuple[str, ...] = ()) -> None:
        """`bound` is the address or name that is listened on; `*` in `configured` allows every name."""
        machine = socket.gethostname().lower()
        short = machine.partition(".")[0]
        self._configured = frozenset(configured)
        self._names = self._configured | {_bare(bound), machine, short, f"{short}.local"}
        self._only_here = is_loopback(bound)
        self._seen: set[bytes] = set()

    def owns(self, host: bytes) -> bool:
        """Whether a Host header names this server: loopback, the machine's name, what it is bound to, or what
        is configured. A server that others reach may be asked under any address, which is no name that a
        page could have taken."""
        if host in self._seen:
            return True
        bare = _bare(host.decode("latin-1"))
        good = "*" in self._configured or bare in self._names or is_loopback(bare)
        if not good and not self._only_here:
            try:
                good = bool(ip_address(bare))
            except ValueError:
                good = False
        if good and len(self._seen) < MOST_REMEMBERED:
            self._seen.add(host)
        return good

    def is_configured(self, host: str) -> bool:
        """Whether somebody has written down that this name is ours."""
        return _bare(host) in self._configured


_BRACKETED = re.compile(r"\[([^\[\]]*)\](?::\d*)?")
_WITH_PORT = re.compile(r"([^:]*):\d*")


def _bare(host: str) -> str:
    """Without port, brackets, final dot; in lower case. What is neither (RFC 9110, 7.2) stays as it is, and
    is nobody's name."""
    host = host.strip().lower()
    if bracketed := _BRACKETED.fullmatch(host):
        return bracketed[1]
    if ported := _WITH_PORT.fullmatch(host):
        host = ported[1]
    return host.rstrip(".")
