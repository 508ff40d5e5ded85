"""What `kodolly up` runs: settings of the stack, and each part as a command line with its environment."""

import os
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from pydantic_settings import SettingsConfigDict

from common.child_environment import ENGINE, SYSTEM, child_environment
from common.errors import UserError
from common.private_files import make_private_directory
from common.settings import PartSettings, load_settings
from kodolly.stack.supervise import Part

if TYPE_CHECKING:
    from worker.settings import WorkerSettings

READS: dict[str, tuple[str, ...]] = {
    "controller": (*SYSTEM, "KODOLLY_CONTROLLER_*", "KODOLLY_JOIN_TOKEN"),
    "documents": (*SYSTEM, "KODOLLY_DOCUMENTS_*", "KODOLLY_DOCUMENTS_TOKEN"),
    "webui": (*SYSTEM, "KODOLLY_WEBUI_*", "KODOLLY_API_KEY", "GRADIO_*", "FORWARDED_ALLOW_IPS"),
    "worker": (*SYSTEM, *ENGINE, "KODOLLY_WORKER_*", "KODOLLY_JOIN_TOKEN"),
}
"""Part -> the variables that it reads. The gateway has all: a provider's key may have any name."""

DEVICES = ("CUDA_VISIBLE_DEVICES",)


class WorkerSpec(BaseModel):
    """A checkpoint to serve."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Path
    """Checkpoint directory."""
    name: str | None = None
    """Name to serve it under; None takes the checkpoint's own."""
    args: tuple[str, ...] = ()
    """Extra flags for vLLM."""


DEMO = "demo"
"""In the state directory: the models of `kodolly up --demo`."""


class UpSettings(PartSettings):
    """`kodolly up`: the whole stack on one machine."""

    section: ClassVar[str] = "up"
    model_config = SettingsConfigDict(env_prefix="KODOLLY_UP_")

    workers: tuple[WorkerSpec, ...] = ()
    """Checkpoints to serve, one worker each."""
    documents: bool = True
    """Run the documents service, too, where the extra `documents` is installed."""
    worker_port: int = Field(default=21002, ge=1, le=65535)
    """Port of the first worker; the others take the next ones."""
    state_dir: Path = Field(
        default=Path(".kodolly"), validation_alias=AliasChoices("state_dir", "KODOLLY_STATE_DIR")
    )
    """Directory of logs, database, demo models and the join token."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the parts listen, all on 127.0.0.1 unless their own settings say otherwise."""

    controller: int
    gateway: int
    webui: int
    first_worker: int
    documents: int | None = None
    """None where the documents service does not run."""

    def controller_url(self) -> str:
        """The controller's URL on this machine."""
        return f"http://127.0.0.1:{self.controller}"

    def gateway_url(self) -> str:
        """The gateway's URL on this machine."""
        return f"http://127.0.0.1:{self.gateway}"

    def documents_url(self) -> str:
        """The documents service's URL on this machine."""
        return f"http://127.0.0.1:{self.documents}"


def join_token(state_dir: Path) -> str:
    """The token of this stack: from the environment, else a random one kept in a 0600 file."""
    return _token(state_dir, "join-token", "KODOLLY_JOIN_TOKEN")


def documents_token(state_dir: Path) -> str:
    """What gateway and documents service share, kept in the same way."""
    return _token(state_dir, "documents-token", "KODOLLY_DOCUMENTS_TOKEN")


def _token(state_dir: Path, file_name: str, variable: str) -> str:
    if given := os.environ.get(variable):
        return given
    path = state_dir / file_name
    try:
        make_private_directory(state_dir)
        if path.exists():
            return path.read_text(encoding="ascii").strip()
        token = secrets.token_urlsafe(32)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(token)
    except OSError as error:
        raise UserError(
            f"The state directory {state_dir} cannot be written: {error.strerror}.",
            hint="Free some disk, or choose another one with KODOLLY_STATE_DIR.",
        ) from error
    return token


def threads_each(workers: int) -> int:
    """CPU threads a worker, so that all engines together have no more threads than there are cores."""
    return max(1, len(os.sched_getaffinity(0)) // max(1, workers))


def part_env(part: str, state_dir: Path) -> dict[str, str]:
    """The environment of a part: but for the gateway, no key and no password of another part in it."""
    tokens = {
        "KODOLLY_JOIN_TOKEN": join_token(state_dir),
        "KODOLLY_DOCUMENTS_TOKEN": documents_token(state_dir),
    }
    here = dict(os.environ) | tokens
    env = here if part == "gateway" else child_environment(here, READS[part])
    return env | {"KODOLLY_STATE_DIR": str(state_dir), "PYTHONUNBUFFERED": "1"}


def devices_of(env: Mapping[str, str]) -> dict[str, str]:
    """What `env` says about the GPUs to use: a deployed worker may need others than those in use."""
    return {name: str(env[name]) for name in DEVICES if name in env}


def build_parts(settings: UpSettings, ports: Ports, config: Path | None) -> list[Part]:
    """Every part, in start order; stop in reverse."""
    env = {part: part_env(part, settings.state_dir) for part in (*READS, "gateway")}
    # The same settings file for every part.
    common = ["--config", str(config)] if config else []
    parts = [
        Part(
            "controller", _command("controller", "--port", str(ports.controller), *common), env["controller"]
        ),
        *_documents_part(ports, common, env["documents"]),
        Part(
            "gateway",
            _command(
                *("gateway", "--port", str(ports.gateway), "--controller", ports.controller_url()),
                *(("--documents", ports.documents_url()) if ports.documents is not None else ()),
                *common,
            ),
            env["gateway"],
        ),
        Part(
            "webui",
            _command("webui", "--port", str(ports.webui), "--gateway", ports.gateway_url(), *common),
            env["webui"],
        ),
    ]
    threads = threads_each(len(settings.workers))
    for index, spec in enumerate(settings.workers):
        port = ports.first_worker + index
        advertise_url = advertise_url_at(port, config) if index else None
        part = worker_part(
            spec, port, (ports.controller_url(),), threads, env["worker"], config, advertise_url
        )
        taken = part.name in [other.name for other in parts]
        parts.append(replace(part, name=f"{part.name}-{index + 1}") if taken else part)
    return parts


def _documents_part(ports: Ports, common: Sequence[str], env: Mapping[str, str]) -> list[Part]:
    if ports.documents is None:
        return []
    argv = _command("documents", "serve", "--port", str(ports.documents), *common)
    return [Part("documents", argv, {**env, "KODOLLY_DOCUMENTS_GATEWAY_URL": ports.gateway_url()})]


def worker_part(
    spec: WorkerSpec,
    port: int,
    controllers: Sequence[str],
    threads: int,
    env: Mapping[str, str],
    config: Path | None,
    advertise_url: str | None = None,
) -> Part:
    """One worker at `port`, with `threads` threads for a CPU engine; `advertise_url` replaces the setting."""
    name = spec.name or spec.model.name
    argv = _command(
        "worker",
        str(spec.model),
        *("--name", name),
        *("--port", str(port)),
        *(word for url in controllers for word in ("--controller", url)),
        *("--cpu-threads", str(threads)),
        *(["--advertise-url", advertise_url] if advertise_url else []),
        *(["--config", str(config)] if config else []),
        *(["--", *spec.args] if spec.args else []),
    )
    return Part(f"worker-{file_name(name)}", argv, env, stop_grace_s=45.0, may_end=True)


def advertise_url_at(port: int, config: Path | None) -> str | None:
    """The configured worker.advertise_url with another port; None when none is configured.

    Two workers with one URL would be taken for one worker and its successor.
    """
    given = _worker_settings(config).advertise_url
    if given is None:
        return None
    parts = urlsplit(given)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


def worker_url(config: Path | None) -> str:
    """Where gateways would reach a worker that is started now. Raises UserError when nothing says it."""
    return _worker_settings(config).url()


def _worker_settings(config: Path | None) -> "WorkerSettings":
    from worker.settings import WorkerSettings

    return load_settings(WorkerSettings, {"join_token": "not needed here"}, config)


def file_name(name: str) -> str:
    """A model's name as part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", name)[:60]


def _command(*args: str) -> list[str]:
    return [sys.executable, "-m", "kodolly", *args]
