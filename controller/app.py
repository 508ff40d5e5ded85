"""The controller's HTTP face: register, renew, drain, leave, list, watch."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from pydantic import BaseModel, Field

from common.background import Background
from common.cors import CrossOrigin
from common.doors import BODY_S, PUBLIC, Door, Doors, door
from common.errors import BadRequest, InternalError, NotFound
from common.guard import Guard
from common.guarded_app import GuardedApp, admit_json
from common.http import install_error_handlers, require_token
from common.own_hosts import OwnHosts
from common.private_files import close_directory
from common.registry import Alias, DrainRequest, Lease, Registration, WorkerState
from controller.aliases import AliasTable, read_names, write_names
from controller.callback import CallbackRefused, call_back
from controller.registry import Registry
from controller.settings import ControllerSettings
from controller.watchers import Watchers, WatchResponse

logger = logging.getLogger(__name__)

EXPIRY_CHECK_S = 1.0
BODY_BYTES = 1024 * 1024
"""Far more than any registration needs."""


@dataclass(slots=True)
class Controller:
    """What one controller process owns while it runs."""

    settings: ControllerSettings
    registry: Registry = field(default_factory=Registry)
    watchers: Watchers = field(default_factory=Watchers)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def publish(self, *, loads: bool = False) -> None:
        """Tell the watchers what has changed since last time; changes of load alone only with `loads`."""
        delta = self.registry.collect_changes(loads=loads)
        if delta is None:
            return
        for worker in delta.changed:
            logger.debug("worker %s is %s %s", worker.worker_id, worker.state, worker.detail)
        self.watchers.publish(delta)

    async def expire(self) -> None:
        """Notice leases that ran out, and publish the loads of all workers in one delta; runs until
        cancelled."""
        while True:
            await asyncio.sleep(EXPIRY_CHECK_S)
            self.publish(loads=True)


def create_app(settings: ControllerSettings) -> FastAPI:
    """The controller. Nothing runs before the lifespan starts."""
    app = FastAPI(title="kodolly controller", docs_url=None, redoc_url=None, lifespan=_lifespan(settings))
    install_error_handlers(app)
    app.include_router(public)
    app.include_router(router)
    doors = Doors(app.routes, {"/openapi.json": PUBLIC})
    app.add_middleware(GuardedApp[None], doors=doors, guard=_guard(settings), admit=admit_json)
    return app


def _guard(settings: ControllerSettings) -> Guard[None]:
    token = settings.join_token.get_secret_value()

    def authenticate(given: str, asked: Door) -> None:
        if asked.access != "public":
            require_token(given, [token])

    return Guard(OwnHosts(settings.host), CrossOrigin(), authenticate, lambda: True, BODY_BYTES, BODY_S)


def _lifespan(
    settings: ControllerSettings,
) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        controller = Controller(settings)
        await asyncio.to_thread(close_directory, settings.state_dir)
        controller.registry.names = read_names(settings.aliases_path())
        controller.registry.collect_changes()
        app.state.controller = controller
        async with Background() as background:
            background.start("looking for leases that ran out", controller.expire)
            yield

    return lifespan


def end_watches(app: FastAPI) -> None:
    """End the open watches, which would never end by themselves. May be called from a signal handler."""
    controller: Controller | None = getattr(app.state, "controller", None)
    if controller is not None:
        controller.loop.call_soon_threadsafe(controller.watchers.close)


def get_controller(request: Request) -> Controller:
    """The process's one Controller."""
    controller: Controller = request.app.state.controller
    return controller


ControllerDep = Annotated[Controller, Depends(get_controller)]


public = APIRouter()
router = APIRouter(prefix="/v1")
Seen = Annotated[str | None, Query(max_length=100)]
"""Version of a name: it is changed only while it has this one."""


@public.get("/healthz")
@door("public", any_host=True)
async def healthz() -> dict[str, str]:
    """Whether this process answers."""
    return {"status": "ok"}


@router.put("/workers/{worker_id}")
@door("key", body_bytes=BODY_BYTES)
async def renew(worker_id: str, said: Registration, controller: ControllerDep) -> Lease:
    """Register a worker or renew its lease; `ready` is believed after a call-back only."""
    if worker_id != said.worker_id:
        raise BadRequest("worker_id in the path and in the body differ.", param="worker_id")
    entry = controller.registry.renew(said)
    if said.state == "ready" and not entry.verified:
        controller.registry.verify(said, await _failure_of_call_back(controller, said))
    controller.publish()
    return controller.registry.lease_of(worker_id)


async def _failure_of_call_back(controller: Controller, said: Registration) -> str | None:
    try:
        await call_back(said, controller.settings.allow_networks)
    except CallbackRefused as refusal:
        logger.warning("worker %s is not listed as ready: %s", said.worker_id, refusal)
        return str(refusal)
    logger.info("worker %s is ready: %s", said.worker_id, ", ".join(card.name for card in said.models))
    return None


class Draining(BaseModel):
    """The worker as it is listed from now on."""

    worker_id: str
    incarnation: str
    state: WorkerState


@router.post("/workers/{worker_id}/drain")
@door("key", body_bytes=BODY_BYTES)
async def drain(worker_id: str, controller: ControllerDep, asked: DrainRequest | None = None) -> Draining:
    """Ask a worker to finish what runs, stop, and leave; gateways send it nothing from now on."""
    record = controller.registry.drain(worker_id, asked or DrainRequest())
    logger.info("worker %s is asked to stop", worker_id)
    controller.publish()
    return Draining(worker_id=worker_id, incarnation=record.incarnation, state=record.state)


@router.delete("/workers/{worker_id}/drain")
@door("key", body_bytes=BODY_BYTES)
async def undrain(
    worker_id: str, controller: ControllerDep, incarnation: Annotated[str, Query()]
) -> Draining:
    """Take back that a worker shall stop: it goes on if requests still run there."""
    record = controller.registry.undrain(worker_id, incarnation)
    logger.info("worker %s shall go on", worker_id)
    controller.publish()
    return Draining(worker_id=worker_id, incarnation=record.incarnation, state=record.state)


@router.delete("/workers/{worker_id}")
@door("key", body_bytes=BODY_BYTES)
async def leave(
    worker_id: str, controller: ControllerDep, incarnation: Annotated[str, Query()]
) -> dict[str, str]:
    """Forget a worker that has stopped."""
    if not controller.registry.remove(worker_id, incarnation):
        raise NotFound(f"There is no worker {worker_id!r} with this incarnation.")
    logger.info("worker %s has left", worker_id)
    controller.publish()
    return {"worker_id": worker_id}


@router.put("/aliases/{name:path}")
@door("key", body_bytes=BODY_BYTES)
async def put_alias(
    name: Annotated[str, Field(min_length=1, max_length=200)],
    alias: Alias,
    controller: ControllerDep,
    seen: Seen = None,
) -> dict[str, str]:
    """Give a model another name, move that name to another model, or split a name's traffic."""
    before = controller.registry.names
    controller.registry.set_alias(name, alias, seen)
    _keep_names(controller, before)
    return controller.registry.names.aliases


@router.delete("/aliases/{name:path}")
@door("key", body_bytes=BODY_BYTES)
async def delete_alias(name: str, controller: ControllerDep, seen: Seen = None) -> dict[str, str]:
    """Take an alias back."""
    before = controller.registry.names
    controller.registry.remove_alias(name, seen)
    _keep_names(controller, before)
    return controller.registry.names.aliases


def _keep_names(controller: Controller, before: AliasTable) -> None:
    try:
        # A small file, seldom: not worth a thread, in which two changes could overtake each other.
        write_names(controller.settings.aliases_path(), controller.registry.names)
    except OSError as error:
        controller.registry.names = before
        raise InternalError(f"The alias cannot be saved: {error.strerror}.") from error
    controller.publish()


@router.get("/workers")
@door("key", body_bytes=BODY_BYTES)
async def list_workers(controller: ControllerDep) -> dict[str, Any]:
    """Everything known, without the engines' keys."""
    controller.publish()
    return controller.registry.current().model_dump(
        mode="json", exclude={"workers": {"__all__": {"engine_key"}}}
    )


@router.get("/watch")
@door("key", body_bytes=BODY_BYTES)
async def watch(controller: ControllerDep) -> WatchResponse:
    """Server-sent events: one `snapshot`, then `delta`s."""
    controller.publish()
    return WatchResponse(controller.watchers.follow(controller.registry.snapshot))
