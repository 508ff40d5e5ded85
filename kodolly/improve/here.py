"""Whether this machine is the one that serves: only then may a turn deploy what it has trained."""

import socket
from urllib.parse import urlsplit

from common.errors import UserError
from common.registry import Snapshot


def require_served_here(snapshot: Snapshot, model: str) -> None:
    """Raises UserError when all workers of the model are on other machines: the canary would run on this one,
    and a promotion would take the model away from those."""
    workers = [record for record in snapshot.workers if model in [card.name for card in record.models]]
    hosts = {urlsplit(record.url).hostname or "" for record in workers}
    if hosts and not any(is_own_address(host) for host in hosts):
        there = ", ".join(sorted(hosts))
        raise UserError(
            f"{model} is served on {there}, not on this machine, where its canary would run.",
            hint="Run this there; or train here with --no-deploy, and deploy the new checkpoint there: "
            "docs/improve.md has the commands.",
        )


def is_own_address(host: str) -> bool:
    """Whether this machine could listen on the host's address."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except OSError:
        return False
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(address)
                return True
        except OSError:
            continue
    return False
