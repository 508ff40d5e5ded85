"""Asking workers to stop, and waiting until they have."""

import time
from collections.abc import Callable, Sequence

from common.errors import UserError
from common.registry import LEASE_TTL_S, WorkerRecord
from kodolly.clients.controller_access import Controllers

POLL_S = 0.5
MARGIN_S = 60.0
"""What a worker may take beyond the time for running requests: a renewal, and the engine's own end."""
DOWN_S = LEASE_TTL_S + 2.0
"""A worker that is `down` learns of the wish within this time, or is not there any more."""


def choose_workers(workers: Sequence[WorkerRecord], target: str) -> list[WorkerRecord]:
    """The worker with the id `target`, else all that serve the model `target`. Raises UserError."""
    chosen = [w for w in workers if w.worker_id == target] or [
        w for w in workers if target in [card.name for card in w.models]
    ]
    if not chosen:
        names = sorted({w.worker_id for w in workers} | {card.name for w in workers for card in w.models})
        known = f"There are: {', '.join(names)}." if names else "No worker is registered."
        raise UserError(f"There is no worker and no model {target!r}.", hint=known)
    return chosen


def drain_workers(
    controllers: Controllers, workers: Sequence[WorkerRecord], timeout_s: float, say: Callable[[str], None]
) -> None:
    """Ask `workers` to stop and wait until they are gone; `say` gets a line at each change.

    Raises UserError when one is still there `timeout_s` (and a margin) later.
    """
    began = time.monotonic()
    left = {(w.worker_id, w.incarnation): w for w in workers}
    said: dict[str, str] = {}
    for worker in workers:
        controllers.drain(worker, timeout_s)
    while True:
        listed = [record for snapshot in controllers.snapshots() for record in snapshot.workers]
        for key in list(left):
            seen = [r for r in listed if (r.worker_id, r.incarnation) == key]
            waited = time.monotonic() - began
            if not seen or (waited > DOWN_S and all(record.state == "down" for record in seen)):
                del left[key]
                say(f"{key[0]}: stopped after {waited:.0f} s")
                continue
            if any(record.state in ("ready", "loading") for record in seen):
                controllers.drain(seen[0], timeout_s)  # this controller has started anew and forgot
            line = _progress(seen[0])
            if said.get(key[0]) != line:
                said[key[0]] = line
                say(f"{key[0]}: {line}")
        if not left:
            return
        if time.monotonic() - began > timeout_s + MARGIN_S:
            ids = ", ".join(worker_id for worker_id, _ in left)
            raise UserError(f"Still there after {time.monotonic() - began:.0f} s: {ids}.")
        time.sleep(POLL_S)


def undrain_workers(
    controllers: Controllers, workers: Sequence[WorkerRecord], say: Callable[[str], None]
) -> None:
    """Have those of `workers` that are to stop go on. Raises UserError where none is, or one cannot."""
    stopping = [worker for worker in workers if worker.state == "draining"]
    if not stopping:
        raise UserError("None of these workers is about to stop.", hint="`kodolly ps` shows their states.")
    for worker in stopping:
        controllers.undrain(worker)
        say(f"{worker.worker_id}: goes on")


def _progress(worker: WorkerRecord) -> str:
    load = worker.load
    busy = f", {load.running} running, {load.waiting} waiting" if load.known else ""
    return f"{worker.state}{busy}"
