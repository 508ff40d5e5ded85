"""Which machine a worker is on, and from which it can be reached."""

import socket
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from common.errors import UserError
from common.own_hosts import is_loopback
from common.registry import Snapshot, WorkerRecord


def require_served_here(snapshot: Snapshot, model: str, controllers: Sequence[str]) -> None:
    """Raises UserError when all workers of the model are on other machines: the canary would run on this one,
    and a promotion would take the model away from those. `controllers` are their URLs."""
    workers = [record for record in snapshot.workers if model in [card.name for card in record.models]]
    if workers and not any(is_here(record, controllers) for record in workers):
        there = ", ".join(sorted({_place(record, controllers) for record in workers}))
        raise UserError(
            f"{model} is served on {there}, not on this machine, where its canary would run.",
            hint="Run this there; or train here with --no-deploy, and deploy the new checkpoint there: "
            "docs/improve.md has the commands.",
        )


def require_reachable(url: str, old: Iterable[WorkerRecord], controllers: Sequence[str]) -> None:
    """Raises UserError when a new worker at `url` could be reached from this machine only, while others ask
    for it: controllers at URLs elsewhere, or whoever reaches the `old` workers of the same model."""
    host = hosts_of([url])[0]
    if not is_loopback(host):
        return
    away = sorted({other for other in hosts_of(controllers) if not is_own_address(other)})
    open_to_others = sorted({other for other in hosts_of(one.url for one in old) if not is_loopback(other)})
    if away:
        why = f"the controller on {', '.join(away)} cannot reach it there"
    elif open_to_others:
        why = f"only this machine reaches it there, and the one before is at {', '.join(open_to_others)}"
    else:
        return
    raise UserError(
        f"The new worker would be at {host}: {why}.",
        hint="Name this machine's address: KODOLLY_WORKER_HOST=ADDRESS, or `worker.host` in kodolly.yaml.",
    )


def is_here(record: WorkerRecord, controllers: Sequence[str]) -> bool:
    """Whether a worker is on this machine. One at a loopback address is on that of its controller, which has
    called it back there."""
    (host,) = hosts_of([record.url])
    places = hosts_of(controllers) if is_loopback(host) else [host]
    return any(is_own_address(place) for place in places)


def is_same_server(url: str, local: str) -> bool:
    """Whether a URL leads to the server that has the URL `local` on this machine."""
    ports = {urlsplit(one).netloc.rpartition(":")[2] for one in (url, local)}
    return len(ports) == 1 and is_own_address(urlsplit(url).hostname or "")


def hosts_of(urls: Iterable[str]) -> list[str]:
    """Each URL's name or address of a machine."""
    return [urlsplit(url).hostname or "" for url in urls]


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


def _place(record: WorkerRecord, controllers: Sequence[str]) -> str:
    (host,) = hosts_of([record.url])
    return ", ".join(sorted(set(hosts_of(controllers)))) if is_loopback(host) else host
