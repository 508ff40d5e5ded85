"""Workers from the settings, without a controller: this gateway itself looks whether they are there."""

import asyncio
import logging
from collections.abc import Sequence

import httpx2

from common.registry import ModelCard
from server.directory import Directory, Upstream
from server.settings import StaticModel, static_key

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
TIMEOUT_S = 5.0
"""A busy engine answers slowly."""
SILENT_LOOKS = 3
"""So many looks in a row without an answer make it `down`; one that refuses the connection is so at once."""
NO_SUCH_PAGE = (404, 405, 501)


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
            silent[upstream.id] = silent[upstream.id] + 1 if problem == SILENT else 0
            if problem != SILENT or silent[upstream.id] >= SILENT_LOOKS:
                _note(directory, upstream, problem)
        await asyncio.sleep(LOOK_EVERY_S)


SILENT = "it does not answer in time"


def _note(directory: Directory, upstream: Upstream, problem: str) -> None:
    if not problem:
        upstream.seen = directory.clock()
    if not problem and upstream.state != "ready":
        logger.info("%s is ready: %s", upstream.id, ", ".join(upstream.models))
        directory.presume_up(upstream)
    elif problem and (upstream.state != "down" or upstream.detail != problem):
        logger.warning("%s cannot be used: %s", upstream.id, problem)
        if upstream.state != "down":
            directory.presume_down(upstream)
        upstream.detail = problem


async def _problem(http: httpx2.AsyncClient, upstream: Upstream) -> str:
    """Why it cannot be used, in words without its address; "" when it can."""
    key = upstream.key.get_secret_value()
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        health = await http.get(f"{upstream.url}/health", headers=headers, timeout=TIMEOUT_S)
        if health.status_code not in (200, *NO_SUCH_PAGE):  # Ollama has no /health
            return f"its /health answers {health.status_code}"
        answer = await http.get(f"{upstream.url}/v1/models", headers=headers, timeout=TIMEOUT_S)
        if answer.status_code != 200:
            return f"its /v1/models answers {answer.status_code}"
        entries = {str(entry["id"]): entry for entry in answer.json()["data"]}
    except httpx2.TimeoutException:
        return SILENT
    except httpx2.HTTPError:
        return "nothing answers at its address"
    except (ValueError, KeyError, TypeError):
        return "its /v1/models is not a list of models"
    for name in upstream.models:
        if name not in entries:
            return f"it does not serve {name!r}"
        length = entries[name].get("max_model_len")
        if isinstance(length, int):
            upstream.models[name] = ModelCard(name=name, context_length=length)
    return ""
