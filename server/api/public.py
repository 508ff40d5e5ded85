"""The gateway's own routes: models, status, prompt preview, health, documents."""

import importlib.metadata
import time
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, FailFast, Field

from common.doors import door
from common.errors import ModelNotFound
from common.feedback import Message
from common.status import Status
from server.accounts.entrance import KeyDep
from server.gateway import Gateway
from server.upstreams.status import cards, status_models, status_providers

if TYPE_CHECKING:
    from server.accounts.keys import Key


def get_gateway(request: Request) -> Gateway:
    """The process's one Gateway, put on the app by `create_app`."""
    gateway: Gateway = request.app.state.gateway
    return gateway


GatewayDep = Annotated[Gateway, Depends(get_gateway)]

PROMPT_BYTES = 1024 * 1024
"""Largest conversation of which the prompt is shown; a quarter of a million tokens are less."""


public = APIRouter()
router = APIRouter()


@public.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
@door("public", any_host=True)
async def root() -> dict[str, str]:
    """Some clients look here before their first request."""
    return {"service": "kodolly gateway", "api": "/v1", "docs": "/docs"}


@public.get("/healthz", tags=["operations"])
@door("public", any_host=True)
async def healthz() -> dict[str, str]:
    """Whether this process answers; says nothing about workers and waits for none."""
    return {"status": "ok"}


@public.get("/metrics", tags=["operations"])
@door("public")
async def get_metrics(request: Request, gateway: GatewayDep) -> Response:
    """Prometheus metrics of all processes of this gateway. They hold no key and no prompt; workers are
    called by their ids, which are host and port."""
    body, content_type = await gateway.observability.scrape(request.headers.get("accept", ""))
    return Response(body, headers={"content-type": content_type})


class Model(BaseModel):
    """An entry of the model list (OpenAI's shape; `root` and `parent` as vLLM uses them)."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    root: str
    parent: str | None
    max_model_len: int | None = None


class ModelList(BaseModel):
    """OpenAI's list object."""

    object: Literal["list"] = "list"
    data: list[Model]


@router.get("/v1/models", tags=["models"])
@door("key", limited=False)
async def list_models(key: KeyDep, gateway: GatewayDep) -> ModelList:
    """Every model that a ready worker or a configured provider serves and the key may use, from memory."""
    return ModelList(data=_models(key, gateway))


@router.get("/v1/models/{model_id:path}", tags=["models"])
@door("key", limited=False)
async def get_model(model_id: str, key: KeyDep, gateway: GatewayDep) -> Model:
    """One model."""
    for model in _models(key, gateway):
        if model.id == model_id:
            return model
    raise ModelNotFound(f"The model {model_id!r} does not exist.", param="model")


def _models(key: "Key", gateway: Gateway) -> list[Model]:
    return [
        Model(
            id=name,
            created=card.created,
            owned_by=upstream.id if upstream.kind == "external" else "kodolly",
            root=card.name if card.name != name else card.base or name,
            parent=card.base,
            max_model_len=card.context_length,
        )
        for name, (card, upstream) in cards(gateway.directory).items()
        if upstream.state == "ready" and key.may_use(name)
    ]


@router.get("/v1/status", tags=["operations"])
@door("key", limited=False)
async def get_status(key: KeyDep, gateway: GatewayDep) -> Status:
    """What runs, in which state, of what the key may use; from memory."""
    providers = status_providers(gateway.directory)
    return Status(
        version=importlib.metadata.version("kodolly"),
        uptime_s=time.monotonic() - gateway.started,
        models=[model for model in status_models(gateway.directory) if key.may_use(model.id)],
        providers=[
            provider.model_copy(update={"models": [name for name in provider.models if key.may_use(name)]})
            for provider in providers
        ],
        controller_connected=gateway.directory.controller_connected,
        feedback_store=gateway.feedback.policy.text,
    )


class PromptRequest(BaseModel):
    """A conversation as for chat completions."""

    model: str
    messages: Annotated[list[Message], FailFast()] = Field(min_length=1)


class PromptPreview(BaseModel):
    """What the model would be given."""

    prompt: str
    token_count: int


@router.post("/v1/prompt", tags=["models"])
@door("key+model", body_bytes=PROMPT_BYTES)
async def preview(body: PromptRequest, key: KeyDep, gateway: GatewayDep) -> PromptPreview:
    """The exact final prompt of a conversation and its number of tokens."""
    from server.api.prompt import preview_prompt

    messages = [message.model_dump() for message in body.messages]
    gateway.accounts.check_model(key, body.model)
    prompt, count = await preview_prompt(gateway.directory, gateway.http, body.model, key.models, messages)
    return PromptPreview(prompt=prompt, token_count=count)
