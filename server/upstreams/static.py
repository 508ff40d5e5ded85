"""Workers from the settings, without a controller: this gateway itself looks whether they are there."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import httpx2

from common.engine_questions import NotServing, Silent, check_serving
from common.registry import ModelCard
from server.settings import StaticModel, static_key
from server.upstreams.directory import Directory
from server.upstreams.upstream import Reported, Standing, Upstream

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
SILENT_LOOKS = 3
"""So many checks in a row without an answer make a worker `down`; one that refuses the connection is down
at once."""


def static_upstreams(
    models: Sequence[StaticModel], clock: Callable[[], float] = time.monotonic
) -> list[Upstream]:
    """One upstream a server, with all the models that are said to be there; `loading` until it was asked.

    Several servers may have the same model. Keys are read from the environment here.
    """
    by_server: dict[str, list[StaticModel]] = {}
    for model in models:
        by_server.setdefault(model.url, []).append(model)
    return [
        Upstream(
            url.partition("//")[2],
            "worker",
            Reported(
                url=url,
                key=static_key(there[0]),
                models={model.name: ModelCard(name=model.name) for model in there},
                state="loading",
                progress=0.0,
                detail="not asked yet",
            ),
            standing=Standing(clock),
        )
        for url, there in by_server.items()
    ]


async def watch_static(directory: Directory, models: Sequence[StaticModel], http: httpx2.AsyncClient) -> None:
    """Put the upstreams into the directory and keep their states true; runs until cancelled."""
    upstreams = static_upstreams(models, directory.clock)
    for upstream in upstreams:
        directory.put_static(upstream)
    silent = dict.fromkeys([upstream.id for upstream in upstreams], 0)
    while upstreams:
        problems = await asyncio.gather(*(_problem(http, upstream) for upstream in upstreams))
        for upstream, problem in zip(upstreams, problems, strict=True):
            is_silent = isinstance(problem, Silent)
            silent[upstream.id] = silent[upstream.id] + 1 if is_silent else 0
            if not is_silent or silent[upstream.id] >= SILENT_LOOKS:
                _note(directory, upstream, problem)
        await asyncio.sleep(LOOK_EVERY_S)


def _note(directory: Directory, upstream: Upstream, problem: NotServing | None) -> None:
    if problem is None:
        upstream.seen = directory.clock()
        if upstream.state != "ready":
            logger.info("%s is ready: %s", upstream.id, ", ".join(upstream.models))
            directory.presume_up(upstream)
    elif upstream.state != "down" or upstream.reported.detail != str(problem):
        logger.warning("%s cannot be used: %s", upstream.id, problem)
        directory.presume_down(upstream, str(problem))


async def _problem(http: httpx2.AsyncClient, upstream: Upstream) -> NotServing | None:
    """Why it cannot be used; None when it can."""
    known = upstream.reported
    try:
        listed = await check_serving(http, known.url, known.key.get_secret_value(), [*known.models])
    except NotServing as problem:
        return problem
    cards = {name: ModelCard(name=name, context_length=listed[name].context_length) for name in known.models}
    upstream.report(replace(upstream.reported, models=cards))
    return None
