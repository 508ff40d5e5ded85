"""Checks workers while no controller does: otherwise only time-outs would reveal one that hangs."""

import asyncio
import logging

import httpx2

from common.engine_questions import NotServing, check_serving
from server.upstreams.directory import Directory
from server.upstreams.upstream import Upstream

logger = logging.getLogger(__name__)

EVERY_S = 3.0
FAILURES = 3


async def probe_workers(directory: Directory, http: httpx2.AsyncClient) -> None:
    """Ask every worker if it serves its models as long as no controller is followed; runs until cancelled."""
    failures: dict[str, int] = {}
    while True:
        await asyncio.sleep(EVERY_S)
        if directory.controller_connected:
            failures.clear()
            continue
        workers = list(directory.workers.values())
        answers = await asyncio.gather(*(_is_serving(http, worker) for worker in workers))
        for worker, healthy in zip(workers, answers, strict=True):
            failures[worker.id] = 0 if healthy else failures.get(worker.id, 0) + 1
            if healthy:
                worker.seen = directory.clock()
            if failures[worker.id] == FAILURES and worker.state == "ready":
                logger.warning("worker %s does not answer, and no controller is there to say why", worker.id)
                directory.presume_down(worker)
            elif healthy and worker.presumed_down:
                logger.info("worker %s answers again", worker.id)
                directory.presume_up(worker)


async def _is_serving(http: httpx2.AsyncClient, worker: Upstream) -> bool:
    known = worker.reported
    try:
        await check_serving(http, known.url, known.key.get_secret_value(), [*known.models])
    except NotServing:
        return False
    return True
