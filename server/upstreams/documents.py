"""Models with documents (`my-dolly@handbook`): the documents service answers for them as a worker.

Which there are is asked every `LOOK_EVERY_S`. A name is offered while its model is.
"""

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from common.documents_service import BOUND_MODELS, ON_BEHALF_ID, OWNER_HEADER
from common.registry import ModelCard
from server.settings import GatewaySettings
from server.upstreams.directory import Directory
from server.upstreams.upstream import DOCUMENTS_ID, Reported, Standing, Upstream

if TYPE_CHECKING:
    import httpx2

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
SILENT_LOOKS = 3
"""So many looks without an answer make it `down`."""


class BoundModel(BaseModel):
    """A name that the service answers for, and the model that it asks."""

    id: str
    model: str


class _BoundModels(BaseModel):
    data: list[BoundModel]


async def follow_documents(
    directory: Directory, settings: GatewaySettings, http: "httpx2.AsyncClient"
) -> None:
    """Keep the service in the directory, with the models it has now; runs until cancelled."""
    import httpx2

    assert settings.documents_url is not None
    url, key = settings.documents_url.rstrip("/"), settings.documents_token
    reported = Reported(url=url, key=key, models={}, state="loading", progress=0.0, detail="not asked yet")
    upstream = Upstream(DOCUMENTS_ID, "worker", reported, told_owner=True, standing=Standing(directory.clock))
    headers = {"authorization": f"Bearer {key.get_secret_value()}", OWNER_HEADER: ON_BEHALF_ID}
    bound: list[BoundModel] = []
    silent = 0
    while True:
        try:
            answer = await http.get(url + BOUND_MODELS, headers=headers)
            bound = _BoundModels.model_validate_json(answer.raise_for_status().content).data
            silent, upstream.seen = 0, directory.clock()
        except (httpx2.HTTPError, ValidationError) as error:
            silent += 1
            if silent == SILENT_LOOKS:
                logger.warning("the documents service does not answer: %s", type(error).__name__)
        _report(directory, upstream, bound, well=silent < SILENT_LOOKS)
        await asyncio.sleep(LOOK_EVERY_S)


def _report(directory: Directory, upstream: Upstream, bound: list[BoundModel], *, well: bool) -> None:
    """Put it into the directory where it or the models behind it have changed."""
    cards = {one.id: card for one in bound if (card := _card(directory, one)) is not None}
    state, detail = ("ready", "") if well else ("down", "the documents service does not answer")
    now = replace(upstream.reported, models=cards, state=state, progress=1.0, detail=detail)  # type: ignore[arg-type]
    if now != upstream.reported:
        upstream.report(now)
        directory.put_static(upstream)


def _card(directory: Directory, bound: BoundModel) -> ModelCard | None:
    """That of its model under the other name; None while nobody serves that."""
    target = directory.aliases.get(bound.model, bound.model)
    for up in directory.serving(target):
        if up.id != DOCUMENTS_ID and (card := up.models.get(target)) is not None:
            return card.model_copy(update={"name": bound.id, "base": bound.model})
    return None
