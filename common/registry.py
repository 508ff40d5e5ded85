"""Wire types between worker, controller and gateway: what a worker registers and what a gateway follows.

Worker -> controller   PUT    /v1/workers/{worker_id}   Registration -> Lease
                       DELETE /v1/workers/{worker_id}?incarnation=...
Gateway -> controller  GET    /v1/watch                 SSE: one `snapshot`, then `delta` events
People, doctor         GET    /v1/workers               Snapshot without engine keys
                       POST   /v1/workers/{worker_id}/drain   DrainRequest
                       PUT, DELETE /v1/aliases/{name}?seen=VERSION   Alias; 409 for another version
All but GET /healthz carry `Authorization: Bearer <join token>`.
"""

import hashlib
import logging
from functools import lru_cache
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_serializer,
    model_validator,
)

from common.address import Address
from common.checkpoint_identity import CHECKPOINT_ID
from common.errors import Conflict
from common.model_kind import ModelKind, known_kind

logger = logging.getLogger(__name__)

WorkerState = Literal["ready", "loading", "draining", "down"]
WORKER_STATES: tuple[WorkerState, ...] = get_args(WorkerState)
"""From the best to the worst for somebody who waits for a model."""

LEASE_TTL_S = 10.0
RENEW_EVERY_S = 3.0
DRAIN_TIMEOUT_S = 1800.0
"""As long as a gateway lets one answer take."""


class Wire(BaseModel):
    """A message. Unknown fields are ignored, so that parts of neighbouring versions can talk."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class ModelCard(Wire):
    """One name that a worker answers to, and what stands behind it."""

    name: str = Field(min_length=1, max_length=200)
    base: str | None = None
    """The model this one was tuned from; None for a base model."""
    adapter: str | None = None
    method: str | None = None
    """`pretrain`, `full`, `lora`, `qlora`, `dpo`; None when unknown."""
    licence: str | None = None
    template: str | None = None
    template_hash: str | None = None
    context_length: int | None = None
    """Tokens, prompt and answer together."""
    dtype: str | None = None
    parameters: int | None = None
    created: int = 0
    """Unix seconds."""
    kind: Annotated[ModelKind | None, BeforeValidator(known_kind)] = None
    """What it is for; None when unknown, as of a server that somebody else runs."""
    images: bool | None = None
    """Whether it takes images beside text; None when unknown."""
    checkpoint: str | None = Field(default=None, pattern=rf"^({CHECKPOINT_ID.pattern})$")
    """Id of the weights (common.checkpoint_identity); None when unknown: it is never guessed."""


class WorkerLoad(Wire):
    """What the engine is doing right now."""

    known: bool = False
    """False: the engine does not say, and the figures mean nothing."""
    running: int = 0
    waiting: int = 0
    kv_cache_use: float = 0.0
    """0 to 1."""
    tokens_per_s: float = 0.0


class Registration(Wire):
    """A worker's word about itself, sent at the start and with every renewal."""

    worker_id: str = Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")
    incarnation: str = Field(min_length=8, max_length=64)
    """New at every start of the supervisor and sorted by start time, so that a successor is never taken
    for its predecessor: of two living ones the greater is believed."""
    url: Address
    """Where the engine answers, e.g. http://127.0.0.1:21002 (no path)."""
    engine_key: SecretStr = SecretStr("")
    """Bearer key that the engine asks for; made anew at every start."""
    models: tuple[ModelCard, ...] = Field(min_length=1)
    state: WorkerState = "loading"
    progress: float = Field(default=0.0, ge=0.0, le=1.0)
    detail: str = ""
    """What it is busy with, or why it is down; shown to people."""
    capacity: int = 0
    """Requests the engine runs at once; 0 is unknown."""
    load: WorkerLoad = WorkerLoad()

    @field_serializer("engine_key", when_used="json")
    def _send_key(self, key: SecretStr) -> str:
        return key.get_secret_value()


class Lease(Wire):
    """The controller's answer: how long it believes the worker, and in which state it lists it."""

    ttl_s: float
    renew_every_s: float
    state: WorkerState
    """`loading` although the worker said `ready`: the call-back has not succeeded yet."""
    detail: str = ""
    drain_timeout_s: float | None = None
    """Not None: somebody asked the worker to stop. Running requests get this many seconds to end."""
    stays: bool = False
    """Whoever asked has taken it back."""


class DrainRequest(Wire):
    """Asks a worker to stop; body of `POST /v1/workers/{worker_id}/drain`."""

    incarnation: str | None = None
    """The incarnation that is meant; None is whichever runs now. A request made before a successor
    started never stops it."""
    timeout_s: float = Field(default=DRAIN_TIMEOUT_S, ge=0, le=86400)
    """Longest wait for running requests, in seconds."""


BUCKETS = 10_000
"""Everybody who asks for a split name falls into one of so many buckets, and stays in it."""
LEAST_SHARE = 100 / BUCKETS
"""In percent: with less of the traffic nobody would get there."""
Sticky = Literal["user", "session", "key"]


class Arm(Wire):
    """A served model that gets a part of a name's traffic."""

    model: str = Field(min_length=1, max_length=200)
    buckets: int = Field(ge=0, le=BUCKETS)


class Split(Wire):
    """How a name's traffic is split between served models. The first arm is the stable one: it gets the
    rest of the traffic, and whatever the others cannot answer."""

    arms: tuple[Arm, ...] = Field(min_length=2, max_length=3)
    sticky: Sticky = "user"
    """What keeps somebody in one bucket."""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if sum(arm.buckets for arm in self.arms) != BUCKETS:
            raise ValueError("the shares must add up to 100%")
        if len({arm.model for arm in self.arms}) != len(self.arms):
            raise ValueError("a model may be named once")
        return self


class Alias(Wire):
    """What stands behind a name; body of `PUT /v1/aliases/{name}`."""

    target: str = Field(min_length=1, max_length=200)
    split: Split | None = None
    """None: `target` gets all. Else its stable arm is `target`, which is all that earlier controllers
    read."""

    @model_validator(mode="after")
    def _stable_arm_is_the_target(self) -> Self:
        if self.split is not None and self.split.arms[0].model != self.target:
            raise ValueError("the first arm must be the target")
        return self

    def models(self) -> tuple[str, ...]:
        """All that the name may lead to, the stable one first."""
        return tuple(arm.model for arm in self.split.arms) if self.split is not None else (self.target,)


def alias_version(alias: Alias | None) -> str:
    """Another one after every change; "" where a name leads nowhere."""
    return hashlib.sha256(alias.model_dump_json().encode()).hexdigest()[:16] if alias is not None else ""


def refuse_changed(name: str, alias: Alias | None, seen: str | None) -> None:
    """Raises Conflict where `name`, behind which `alias` stands, has another version than the one that was
    seen."""
    if seen is not None and seen != alias_version(alias):
        raise Conflict(
            f"The name {name!r} has been changed meanwhile.",
            code="name_changed",
            hint="Look at what stands behind it now, then change it again.",
        )


class WorkerRecord(Registration):
    """A registered worker as gateways see it: its registration, with the controller's view of state."""


def _readable(records: Any) -> Any:
    """Leave out what cannot be read, as another version may send it: one bad record must not cost the
    others."""
    if not isinstance(records, list | tuple):
        return records
    kept = []
    for record in records:
        try:
            kept.append(WorkerRecord.model_validate(record))
        except ValidationError as error:
            first = error.errors(include_input=False, include_context=False)[0]
            worker_id = str(record.get("worker_id", "?")) if isinstance(record, dict) else "?"
            where = ".".join(str(part) for part in first["loc"])
            _tell_once(worker_id[:100], f"{where}: {first['msg']}")
    return kept


@lru_cache(maxsize=1000)
def _tell_once(worker_id: str, why: str) -> None:
    logger.warning("worker %r is left out, its record cannot be used: %s", worker_id, why)


Records = Annotated[tuple[WorkerRecord, ...], BeforeValidator(_readable)]


class Snapshot(Wire):
    """Every worker the controller knows, at one version."""

    epoch: str
    """New at every controller start; versions compare only within one epoch."""
    version: int
    workers: Records = ()
    aliases: dict[str, str] = Field(default_factory=dict)
    """Name a client may ask for -> name that workers serve."""
    splits: dict[str, Split] = Field(default_factory=dict)
    """Name a client may ask for, an alias or a served one -> how its traffic is split."""


class Delta(Wire):
    """What changed from `version - 1` to `version`."""

    epoch: str
    version: int
    changed: Records = ()
    removed: tuple[str, ...] = ()
    """Worker ids."""
    aliases: dict[str, str] | None = None
    """All of them, when any has changed; None otherwise."""
    splits: dict[str, Split] | None = None
    """The same."""
