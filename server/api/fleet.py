"""Workers and names over HTTP, for administrators: who serves what, and how a name's traffic is split.

What is changed here is changed at the controllers, as `kodolly drain` and `kodolly alias` do it.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from common.doors import door
from common.errors import NotFound
from common.registry import (
    DRAIN_TIMEOUT_S,
    Alias,
    DrainRequest,
    Split,
    WorkerState,
    alias_version,
    refuse_changed,
)
from server.api.public import GatewayDep
from server.gateway import Gateway
from server.upstreams.breaker import State
from server.upstreams.directory import Directory
from server.upstreams.upstream import Upstream

HEARD_S = 2.0
"""How long a change is waited for until this gateway has heard of it."""
router = APIRouter(prefix="/admin", tags=["admin"])
Name = Annotated[str, Path(min_length=1, max_length=200)]
Version = Annotated[str, Query(max_length=100)]


class WorkerModel(BaseModel):
    """A name that a worker answers to."""

    name: str
    base: str | None
    checkpoint: str | None
    licence: str | None


class WorkerInfo(BaseModel):
    """One worker, as this gateway knows it; never its address or its key."""

    id: str
    incarnation: str
    """Which start of it is meant; empty for one from the settings, which cannot be drained here."""
    state: WorkerState
    progress: float
    detail: str
    models: list[WorkerModel]
    running: int
    waiting: int
    capacity: int
    """0 is unknown."""
    in_flight: int
    """Requests that this gateway process has there."""
    breaker: State


class NameInfo(BaseModel):
    """A name that clients may ask for, and what stands behind it."""

    name: str
    target: str
    split: Split | None
    version: str
    """Another one after every change."""


class NameChange(Alias):
    """What shall stand behind a name."""

    model_config = ConfigDict(extra="forbid")
    version: str | None = Field(default=None, max_length=100)
    """Change it only while it has this version ("" for a name that is none yet); 409 `name_changed`."""


class Drain(BaseModel):
    """Which start of a worker shall finish what runs, and stop."""

    model_config = ConfigDict(extra="forbid")
    incarnation: str = Field(min_length=8, max_length=64)
    timeout_s: float = Field(default=DRAIN_TIMEOUT_S, ge=0, le=86400)


class Told(BaseModel):
    """What came of a change."""

    controllers_missed: int
    """So many could not be reached, and have to be told again."""


@router.get("/workers")
@door("admin")
async def list_workers(gateway: GatewayDep) -> dict[str, object]:
    """Every worker that this gateway knows."""
    directory = gateway.directory
    data = [_worker(up) for up in (*directory.workers.values(), *directory.static.values())]
    return {"object": "list", "data": data, "controller_connected": directory.controller_connected}


@router.post("/workers/{worker_id}/drain")
@door("admin")
async def drain_worker(worker_id: Name, asked: Drain, gateway: GatewayDep) -> Told:
    """Have a worker finish what runs, stop, and leave: it gets no request from now on. `DELETE` takes that
    back while requests still run there; later only a new start does."""
    if worker_id not in gateway.directory.workers:
        raise NotFound(f"There is no worker {worker_id!r} at a controller.", param="worker_id")
    body = DrainRequest(incarnation=asked.incarnation, timeout_s=asked.timeout_s).model_dump()
    missed = await gateway.controllers.tell_all(
        "POST", f"/v1/workers/{quote(worker_id, safe='')}/drain", body
    )
    await _heard(lambda: _drains(gateway.directory, worker_id))
    return Told(controllers_missed=missed)


@router.delete("/workers/{worker_id}/drain")
@door("admin")
async def undrain_worker(
    worker_id: Name, gateway: GatewayDep, incarnation: Annotated[str, Query(min_length=8, max_length=64)]
) -> Told:
    """Have a worker that was asked to stop go on: it gets requests again. 409 for one that was stopped on its
    own machine, or has been started anew; 404 for one that has left."""
    if worker_id not in gateway.directory.workers:
        raise NotFound(f"There is no worker {worker_id!r} at a controller.", param="worker_id")
    path = f"/v1/workers/{quote(worker_id, safe='')}/drain?incarnation={quote(incarnation, safe='')}"
    missed = await gateway.controllers.tell_all("DELETE", path)
    await _heard(lambda: not _drains(gateway.directory, worker_id))
    return Told(controllers_missed=missed)


@router.get("/names")
@door("admin")
async def list_names(gateway: GatewayDep) -> dict[str, object]:
    """Every further name of a model, and every name whose traffic is split."""
    names = sorted({*gateway.directory.aliases, *gateway.directory.splits})
    return {"object": "list", "data": [_name(gateway.directory, name) for name in names]}


@router.put("/names/{name:path}")
@door("admin")
async def change_name(name: Name, change: NameChange, gateway: GatewayDep) -> Told:
    """Give a model a further name, move a name, or split its traffic: at all gateways, at once."""
    _refuse_old(gateway, name, change.version)
    alias = Alias(target=change.target, split=change.split)
    missed = await gateway.controllers.tell_all("PUT", _path(name), alias.model_dump(), change.version)
    await _heard(lambda: _alias(gateway.directory, name) == alias)
    return Told(controllers_missed=missed)


@router.delete("/names/{name:path}")
@door("admin")
async def remove_name(name: Name, gateway: GatewayDep, version: Version | None = None) -> Told:
    """Take a name back, or the split of a model's own name."""
    _refuse_old(gateway, name, version)
    before = _alias(gateway.directory, name)
    missed = await gateway.controllers.tell_all("DELETE", _path(name), seen=version)
    await _heard(lambda: _alias(gateway.directory, name) != before)
    return Told(controllers_missed=missed)


def _worker(up: Upstream) -> WorkerInfo:
    reported = up.reported
    kept = {"name", "base", "checkpoint", "licence"}
    return WorkerInfo(
        id=up.id,
        incarnation=reported.incarnation,
        state=up.state,
        progress=reported.progress,
        detail=reported.detail,
        models=[WorkerModel(**card.model_dump(include=kept)) for card in up.models.values()],
        running=reported.running,
        waiting=reported.waiting,
        capacity=reported.capacity,
        in_flight=up.standing.in_flight,
        breaker=up.standing.breaker.state,
    )


def _alias(directory: Directory, name: str) -> Alias | None:
    split = directory.splits.get(name)
    if split is not None:
        return Alias(target=split.arms[0].model, split=split)
    target = directory.aliases.get(name)
    return Alias(target=target) if target is not None else None


def _name(directory: Directory, name: str) -> NameInfo:
    alias = _alias(directory, name)
    assert alias is not None
    return NameInfo(name=name, target=alias.target, split=alias.split, version=alias_version(alias))


def _refuse_old(gateway: Gateway, name: str, seen: str | None) -> None:
    """Raises Conflict. The controllers look again: two changes may come at once."""
    refuse_changed(name, _alias(gateway.directory, name), seen)


def _drains(directory: Directory, worker_id: str) -> bool:
    worker = directory.workers.get(worker_id)
    return worker is None or worker.state not in ("ready", "loading")


def _path(name: str) -> str:
    return f"/v1/aliases/{quote(name, safe='')}"


async def _heard(known: Callable[[], bool]) -> None:
    """Until this gateway has heard of the change, so that whoever looks next sees it; not for long: a
    controller whose watch is broken tells later."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HEARD_S):
            while not known():
                await asyncio.sleep(0.02)
