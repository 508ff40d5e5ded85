"""Looking after workers while no controller does: else one that hangs would be found by time-outs alone."""

import asyncio
import logging

import httpx2

from server.directory import Directory, Upstream

logger = logging.getLogger(__name__)

EVERY_S = 3.0
TIMEOUT_S = 5.0
"""A busy engine answers slowly."""
FAILURES = 3


async def probe_workers(directory: Directory, http: httpx2.AsyncClient) -> None:
    """Ask every worker's /health as long as no controller is followed; runs until cancelled."""
    failures: dict[str, int] = {}
    while True:
        await asyncio.sleep(EVERY_S)
        if directory.controller_connected:
            failures.clear()
            continue
        workers = list(directory.workers.values())
        answers = await asyncio.gather(*(_is_healthy(http, worker) for worker in workers))
        for worker, healthy in zip(workers, answers, strict=True):
            failures[worker.id] = 0 if healthy else failures.get(worker.id, 0) + 1
            if failures[worker.id] == FAILURES and worker.state == "ready":
                logger.warning("worker %s does not answer, and no controller is there to say why", worker.id)
                directory.presume_down(worker)
            elif healthy and worker.presumed_down:
                logger.info("worker %s answers again", worker.id)
                directory.presume_up(worker)


async def _is_healthy(http: httpx2.AsyncClient, worker: Upstream) -> bool:
    try:
        answer = await http.get(f"{worker.url}/health", timeout=TIMEOUT_S)
    except httpx2.HTTPError:
        return False
    return answer.status_code == 200
