"""Workers and names as the gateway's /admin tells of them, and what forms say about a name."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from common.registry import BUCKETS, Split
from webui.admin.desk import FormRefused
from webui.failures import Failure
from webui.gateway_client import GatewayClient, GatewayError

NAME_CHARACTERS = 200
Row = TypeVar("Row", bound=BaseModel)


class WorkerModel(BaseModel):
    """A name that a worker answers to."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    name: str
    checkpoint: str | None = None


class ListedWorker(BaseModel):
    """One worker."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    id: str
    incarnation: str
    """Empty for one from the gateway's settings."""
    state: str
    progress: float
    detail: str
    models: tuple[WorkerModel, ...]
    running: int
    waiting: int
    capacity: int
    breaker: str

    @property
    def may_drain(self) -> bool:
        """Whether there is somebody to ask, who does not do so already."""
        return bool(self.incarnation) and self.state in ("ready", "loading")

    @property
    def may_undrain(self) -> bool:
        """Whether it was asked to stop, and may go on."""
        return bool(self.incarnation) and self.state == "draining"


class ListedName(BaseModel):
    """A name that clients may ask for, and what stands behind it."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    name: str
    target: str
    split: Split | None
    version: str
    """A value that changes with it: a form shows it, and a change made on an old one is refused."""

    @property
    def shares(self) -> list[tuple[str, float]]:
        """Models with their percent, the stable one first."""
        if self.split is None:
            return [(self.target, 100.0)]
        return [(arm.model, arm.buckets * 100 / BUCKETS) for arm in self.split.arms]


async def read_workers(client: GatewayClient) -> list[ListedWorker]:
    """All of them, by name. Raises GatewayError."""
    return sorted(await _rows(client, "/admin/workers", ListedWorker), key=lambda worker: worker.id)


async def read_names(client: GatewayClient) -> list[ListedName]:
    """All of them, by name. Raises GatewayError."""
    return await _rows(client, "/admin/names", ListedName)


async def _rows(client: GatewayClient, path: str, kind: type[Row]) -> list[Row]:
    told = await client.get(path)
    try:
        return [kind.model_validate(row) for row in told["data"]]
    except (KeyError, TypeError, ValidationError) as error:
        message = "The gateway's list is of another version."
        raise GatewayError(Failure(kind="other", message=message)) from error


def split_wishes(form: Mapping[str, str]) -> dict[str, Any]:
    """How a form wants a name's traffic split, as the gateway takes it. Raises FormRefused."""
    stable, canary = _model(form, "stable"), _model(form, "canary")
    if stable == canary:
        raise FormRefused("canary")
    given = _buckets(form.get("share", ""))
    arms = [{"model": stable, "buckets": BUCKETS - given}, {"model": canary, "buckets": given}]
    sticky = form.get("sticky", "user")
    if sticky not in ("user", "session", "key"):
        raise FormRefused("sticky")
    return {
        "target": stable,
        "split": {"arms": arms, "sticky": sticky},
        "version": form.get("version", ""),
    }


def _model(form: Mapping[str, str], name: str) -> str:
    given = form.get(name, "").strip()
    if not 0 < len(given) <= NAME_CHARACTERS:
        raise FormRefused(name)
    return given


def _buckets(percent: str) -> int:
    """Of 10,000, for a number of percent to a hundredth."""
    try:
        given = round(float(percent) * BUCKETS / 100)
    except (ValueError, OverflowError) as error:
        raise FormRefused("share") from error
    if not 0 <= given <= BUCKETS:
        raise FormRefused("share")
    return given
