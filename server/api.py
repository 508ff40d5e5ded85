"""The gateway's own routes: models, status, prompt preview, health, docs. Inference is relay.py."""

import importlib.metadata
import time
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from common.errors import ModelNotFound
from common.feedback import Message
from common.status import Status
from server.gateway import Gateway
from server.request import api_key


def get_gateway(request: Request) -> Gateway:
    """The process's one Gateway, put on the app by `create_app`."""
    gateway: Gateway = request.app.state.gateway
    return gateway


GatewayDep = Annotated[Gateway, Depends(get_gateway)]


def check_key(request: Request, gateway: GatewayDep) -> None:
    """Raises InvalidApiKey when keys are asked for and the request brings none of them."""
    gateway.accounts.authenticate(api_key(request.scope))


public = APIRouter()
router = APIRouter(dependencies=[Depends(check_key)])


@public.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
async def root() -> dict[str, str]:
    """Some clients look here before their first request."""
    return {"service": "kodolly gateway", "api": "/v1", "docs": "/docs"}


@public.get("/healthz", tags=["operations"])
async def healthz() -> dict[str, str]:
    """Whether this process answers; says nothing about workers and waits for none."""
    return {"status": "ok"}


@public.get("/metrics", tags=["operations"])
async def get_metrics(request: Request, gateway: GatewayDep) -> Response:
    """Prometheus metrics of all processes of this gateway. They hold no key, prompt or worker's address."""
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
async def list_models(request: Request, gateway: GatewayDep) -> ModelList:
    """Every model that a ready worker or a configured provider serves and the key may use, from memory."""
    return ModelList(data=_models(request, gateway))


@router.get("/v1/models/{model_id:path}", tags=["models"])
async def get_model(model_id: str, request: Request, gateway: GatewayDep) -> Model:
    """One model."""
    for model in _models(request, gateway):
        if model.id == model_id:
            return model
    raise ModelNotFound(f"The model {model_id!r} does not exist.", param="model")


def _models(request: Request, gateway: Gateway) -> list[Model]:
    allowed = gateway.accounts.authenticate(api_key(request.scope)).models
    return [
        Model(
            id=name,
            created=card.created,
            owned_by=upstream.id if upstream.kind == "external" else "kodolly",
            root=card.name if card.name != name else card.base or name,
            parent=card.base,
            max_model_len=card.context_length,
        )
        for name, (card, upstream) in gateway.directory.cards().items()
        if upstream.state == "ready" and (allowed is None or name in allowed)
    ]


@router.get("/v1/status", tags=["operations"])
async def get_status(gateway: GatewayDep) -> Status:
    """What runs, in which state, from memory."""
    return Status(
        version=importlib.metadata.version("kodolly"),
        uptime_s=time.monotonic() - gateway.started,
        models=gateway.directory.status_models(),
        providers=gateway.directory.status_providers(),
        controller_connected=gateway.directory.controller_connected,
    )


class PromptRequest(BaseModel):
    """A conversation as for chat completions."""

    model: str
    messages: list[Message] = Field(min_length=1)


class PromptPreview(BaseModel):
    """What the model would be given."""

    prompt: str
    token_count: int


@router.post("/v1/prompt", tags=["models"])
async def preview(body: PromptRequest, gateway: GatewayDep) -> PromptPreview:
    """The exact final prompt of a conversation and its number of tokens."""
    from server.prompt import preview_prompt

    messages = [message.model_dump() for message in body.messages]
    prompt, count = await preview_prompt(gateway.directory, gateway.http, body.model, messages)
    return PromptPreview(prompt=prompt, token_count=count)
