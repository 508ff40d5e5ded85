"""What `kodolly ps` and `kodolly top` show of a cluster."""

import time
from collections.abc import Sequence

from common.registry import Snapshot, WorkerRecord
from common.status import Status
from kodolly.operate.arms import names_in_words
from kodolly.operate.table import table

WORKER_COLUMNS = ("WORKER", "MODELS", "STATE", "RUNNING", "WAITING", "CACHE", "TOKENS/S", "UP")
MODEL_COLUMNS = ("MODEL", "READY", "RUNNING", "WAITING", "BASE")
GATEWAY_COLUMNS = ("OFFERED", "STATE", "WORKERS", "RUNNING", "WAITING", "BY")
UNKNOWN = "-"


def age_s(incarnation: str, now: float | None = None) -> float | None:
    """Seconds since a supervisor started, by its own clock; None when its incarnation does not say.

    Incarnations of our workers begin with the start time in milliseconds.
    """
    stamp = incarnation.partition("-")[0]
    if len(stamp) != 13 or not (stamp.isascii() and stamp.isdigit()):
        return None
    return max(0.0, (time.time() if now is None else now) - int(stamp) / 1000)


def duration(seconds: float | None) -> str:
    """A length of time in two units at most."""
    if seconds is None:
        return UNKNOWN
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if days:
        return f"{days}d {hours % 24}h"
    if hours:
        return f"{hours}h {minutes % 60}m"
    return f"{minutes}m {int(seconds) % 60}s" if minutes else f"{int(seconds)}s"


def worker_lines(workers: Sequence[WorkerRecord], now: float | None = None) -> list[str]:
    """One line a worker, below a line of titles."""
    rows = [WORKER_COLUMNS, *(_worker_row(w, now) for w in sorted(workers, key=lambda w: w.worker_id))]
    return table(rows, right=(3, 4, 5, 6, 7))


def _worker_row(worker: WorkerRecord, now: float | None) -> tuple[str, ...]:
    load = worker.load
    figures = (UNKNOWN,) * 4
    if load.known and worker.state in ("ready", "draining"):
        of = f"/{worker.capacity}" if worker.capacity else ""
        figures = (
            f"{load.running}{of}",
            str(load.waiting),
            f"{load.kv_cache_use:.0%}",
            f"{load.tokens_per_s:.0f}",
        )
    return (
        worker.worker_id,
        ", ".join(card.name for card in worker.models),
        f"loading {worker.progress:.0%}" if worker.state == "loading" else worker.state,
        *figures,
        duration(age_s(worker.incarnation, now)),
    )


def model_lines(workers: Sequence[WorkerRecord], aliases: dict[str, str]) -> list[str]:
    """One line a model, then one an alias."""
    rows = [MODEL_COLUMNS]
    cards = {card.name: card for worker in workers for card in worker.models}
    for name in sorted(cards):
        serving = [w for w in workers if name in [card.name for card in w.models]]
        ready = [w for w in serving if w.state == "ready"]
        known = [w.load for w in serving if w.load.known]
        rows.append(
            (
                name,
                f"{len(ready)}/{len(serving)}",
                str(sum(load.running for load in known)) if known else UNKNOWN,
                str(sum(load.waiting for load in known)) if known else UNKNOWN,
                cards[name].base or "",
            )
        )
    rows += [(alias, UNKNOWN, UNKNOWN, UNKNOWN, f"-> {target}") for alias, target in sorted(aliases.items())]
    return table(rows, right=(1, 2, 3))


def gateway_lines(url: str, status: Status) -> list[str]:
    """What a gateway says of itself and of each name that clients may ask for."""
    controller = "follows a controller" if status.controller_connected else "follows no controller"
    rows = [GATEWAY_COLUMNS]
    rows += [
        (m.id, m.state, str(m.workers), str(m.running), str(m.waiting), m.provider or "")
        for m in status.models
    ]
    head = f"gateway {url}: version {status.version}, up {duration(status.uptime_s)}, {controller}"
    return [head, *table(rows, right=(2, 3, 4))]


def problems(workers: Sequence[WorkerRecord]) -> list[str]:
    """Why workers are not ready, one line each."""
    return [f"{w.worker_id}: {w.detail}" for w in workers if w.state in ("down", "loading") and w.detail]


def overview(snapshot: Snapshot, now: float | None = None) -> list[str]:
    """All of `kodolly ps`."""
    if not snapshot.workers and not snapshot.aliases and not snapshot.splits:
        return ["No workers. Start one with `kodolly worker`."]
    models = model_lines(snapshot.workers, names_in_words(snapshot))
    return [*worker_lines(snapshot.workers, now), *problems(snapshot.workers), "", *models]
