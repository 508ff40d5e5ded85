"""Workers from the settings, without a controller: this gateway itself looks whether they are there."""

import asyncio
import logging
from collections.abc import Sequence

import httpx2

from common.engine_questions import NotServing, Silent, check_serving
from common.registry import ModelCard
from server.settings import StaticModel, static_key
from server.upstreams.directory import Directory
from server.upstreams.upstream import Upstream

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
SILENT_LOOKS = 3
"""So many looks in a row without an answer make it `down`; one that refuses the connection is so at once."""


def static_upstreams(models: Sequence[StaticModel]) -> list[Upstream]:
    """One upstream a server, with all the models that are said to be there; `loading` until it was asked.

    Several servers may have the same model. Keys are read from the environment here.
    """
    upstreams: dict[str, Upstream] = {}
    for model in models:
        known = upstreams.get(model.url)
        if known is None:
            known = upstreams[model.url] = Upstream(
                id=model.url.partition("//")[2],
                kind="worker",
                url=model.url,
                key=static_key(model),
                models={},
                state="loading",
                progress=0.0,
                detail="not asked yet",
            )
        known.models[model.name] = ModelCard(name=model.name)
    return list(upstreams.values())


async def watch_static(directory: Directory, models: Sequence[StaticModel], http: httpx2.AsyncClient) -> None:
    """Put the upstreams into the directory and keep their states true; runs until cancelled."""
    upstreams = static_upstreams(models)
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
    elif upstream.state != "down" or upstream.detail != str(problem):
        logger.warning("%s cannot be used: %s", upstream.id, problem)
        if upstream.state != "down":
            directory.presume_down(upstream)
        upstream.detail = str(problem)


async def _problem(http: httpx2.AsyncClient, upstream: Upstream) -> NotServing | None:
    """Why it cannot be used; None when it can."""
    try:
        listed = await check_serving(http, upstream.url, upstream.key.get_secret_value(), [*upstream.models])
    except NotServing as problem:
        return problem
    upstream.models = {
        name: ModelCard(name=name, context_length=listed[name].context_length) for name in upstream.models
    }
    return None
