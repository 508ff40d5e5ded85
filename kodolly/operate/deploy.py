"""Replacing what stands behind a model's name while it is in use: new worker first, then the old ones go."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from common.errors import UserError
from common.private_files import make_private_directory
from common.registry import WorkerRecord
from common.serve import check_port
from common.settings import load_settings
from kodolly.clients.control import (
    Added,
    Addresses,
    AddWorker,
    CountRestarts,
    Removed,
    RemoveWorker,
    Restarts,
    Where,
    ask_up,
)
from kodolly.clients.controller_access import Controllers
from kodolly.operate.drain import drain_workers
from kodolly.operate.machines import hosts_of, is_here, is_same_server, require_reachable
from kodolly.stack.parts import (
    UpSettings,
    WorkerSpec,
    advertise_url_at,
    devices_of,
    file_name,
    part_env,
    threads_each,
    worker_part,
)

POLL_S = 0.5
STOP_LIMIT_S = 60.0
PORTS = 1000
"""How many ports are tried, from up.worker_port on."""
LOOPBACK = "127.0.0.1"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class UpWorker:
    """Belongs to a running `kodolly up`, which supervises and stops it."""

    state_dir: Path
    part: str
    log: Path

    def ended(self) -> bool:
        """Whether its process has ended, though it may have been started again since."""
        answer = ask_up(self.state_dir, CountRestarts(part=self.part), Restarts)
        return answer is None or answer.restarts != 0

    def stop(self) -> None:
        """Stop it; returns when it is gone."""
        ask_up(self.state_dir, RemoveWorker(part=self.part), Removed)


@dataclass(frozen=True, slots=True)
class DetachedWorker:
    """Runs on its own; `kodolly drain` stops it."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def ended(self) -> bool:
        """Whether its process has ended."""
        return self.process.poll() is not None

    def stop(self) -> None:
        """Stop it; returns when it is gone."""
        self.process.terminate()
        try:
            self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


NewWorker = UpWorker | DetachedWorker


@dataclass(frozen=True, slots=True)
class Deployment:
    """What is to be done."""

    name: str
    checkpoint: Path
    port: int | None
    """None chooses a free one."""
    args: tuple[str, ...]
    """Flags for vLLM."""
    ready_timeout_s: float
    drain_timeout_s: float
    beside: str | None = None
    """The model of whose traffic a canary gets a part."""


def deploy(wanted: Deployment, controllers: Controllers, config: Path | None, say: Say) -> None:
    """Start the new worker, wait until every controller lists it as ready, drain the old ones.

    Raises UserError when the new one does not become ready; it is stopped then, and the old ones stay.
    """
    settings = load_settings(UpSettings, {}, config)
    before = [record for snapshot in controllers.snapshots() for record in snapshot.workers]
    old = _serving(before, wanted.name)
    _check(wanted, old, controllers)
    _refuse_loss_of_names(before, old, wanted.name)
    port = wanted.port or _free_port(settings.worker_port, before)
    check_port(LOOPBACK, port, "--port")
    with _ended_by_sigterm():
        new = _start(wanted, port, settings, controllers, config)
        say(f"starting {wanted.name} from {wanted.checkpoint} on port {port}; log: {new.log}")
        try:
            ready = _wait_until_ready(wanted, port, new, controllers, before, say)
        except BaseException:
            say("stopping the new worker; the old ones stay as they were")
            new.stop()
            raise
    say(f"{ready.worker_id} is ready")
    if not old:
        say(f"nothing served {wanted.name} before")
        return
    say(f"draining {len(old)} old worker{'s' if len(old) > 1 else ''}{_elsewhere(old, ready)}")
    drain_workers(controllers, old, wanted.drain_timeout_s, say)
    say(f"{wanted.name} is now served by {ready.worker_id} alone")
    if any(spec.name == wanted.name or spec.model.name == wanted.name for spec in settings.workers):
        say("up.workers in kodolly.yaml names the old checkpoint: change it before the next `kodolly up`")


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does: the new worker, which has a session of its own, is stopped."""

    def end(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _check(wanted: Deployment, old: Sequence[WorkerRecord], controllers: Controllers) -> None:
    from worker.flags import check_flags
    from worker.model_dir import describe_model

    if not wanted.checkpoint.exists():
        away = [record.url for record in old if not is_here(record, controllers.urls)]
        there = f" {wanted.name} is served on {', '.join(sorted(set(hosts_of(away))))}." if away else ""
        raise UserError(
            f"The checkpoint directory {wanted.checkpoint} does not exist on this machine, "
            f"on which the new worker would run.{there}",
            hint="Run this where it lies, or copy it here.",
        )
    describe_model(wanted.checkpoint, [wanted.name])
    check_flags(wanted.args)


def _serving(records: Sequence[WorkerRecord], name: str) -> list[WorkerRecord]:
    """Each worker of the model once, also one that is starting or down: it could come back."""
    found = {(r.worker_id, r.incarnation): r for r in records if name in [card.name for card in r.models]}
    return list(found.values())


def _elsewhere(old: Sequence[WorkerRecord], new: WorkerRecord) -> str:
    """On which other machines the old workers are, in words."""
    hosts = {urlsplit(record.url).hostname or "" for record in old} - {urlsplit(new.url).hostname}
    return f", also on {', '.join(sorted(hosts))}" if hosts else ""


def _refuse_loss_of_names(records: Sequence[WorkerRecord], old: Sequence[WorkerRecord], name: str) -> None:
    leaving = {(worker.worker_id, worker.incarnation) for worker in old}
    staying = {
        card.name
        for record in records
        if (record.worker_id, record.incarnation) not in leaving and record.state == "ready"
        for card in record.models
    }
    for worker in old:
        for card in worker.models:
            if card.name != name and card.name not in staying:
                raise UserError(
                    f"Worker {worker.worker_id} serves {card.name} too, which nobody would serve then.",
                    hint=f"Start another worker for {card.name} first.",
                )


def _free_port(first: int, records: Sequence[WorkerRecord]) -> int:
    used = {urlsplit(record.url).port for record in records}
    for port in range(first, min(first + PORTS, 65536)):
        if port in used:
            continue
        try:
            check_port(LOOPBACK, port, "--port")
        except UserError:
            continue
        return port
    raise UserError(f"No port from {first} on is free.", hint="Choose one with --port.")


def _start(
    wanted: Deployment, port: int, settings: UpSettings, controllers: Controllers, config: Path | None
) -> NewWorker:
    spec = WorkerSpec(model=wanted.checkpoint.resolve(), name=wanted.name, args=wanted.args)
    if up_has(settings.state_dir, controllers):
        asked = AddWorker(worker=spec, port=port, env=devices_of(os.environ))
        if (answer := ask_up(settings.state_dir, asked, Added)) is not None:
            return UpWorker(settings.state_dir, answer.part, answer.log)
    env = part_env("worker", settings.state_dir) | {"KODOLLY_JOIN_TOKEN": controllers.token}
    advertise_url = advertise_url_at(port, config)
    part = worker_part(spec, port, controllers.urls, threads_each(1), env, config, advertise_url)
    log = settings.state_dir / "logs" / f"worker-{file_name(wanted.name)}-{port}.log"
    try:
        make_private_directory(log.parent)
        opened = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise UserError(f"The new worker's log {log} cannot be written: {error.strerror}.") from error
    with os.fdopen(opened, "ab") as out:
        process = subprocess.Popen(
            part.argv,
            env=dict(part.env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # the terminal's Ctrl-C is not meant for it
        )
    return DetachedWorker(process, log)


def up_has(state_dir: Path, controllers: Controllers) -> bool:
    """Whether the controllers are that of the `kodolly up` of this directory, at which its workers register.
    Raises UserError."""
    where = ask_up(state_dir, Where(), Addresses)
    return where is not None and all(is_same_server(url, where.controller) for url in controllers.urls)


def _wait_until_ready(
    wanted: Deployment,
    port: int,
    new: NewWorker,
    controllers: Controllers,
    before: Sequence[WorkerRecord],
    say: Say,
) -> WorkerRecord:
    began, said = time.monotonic(), ""
    asked = _serving(before, wanted.beside or wanted.name)
    while True:
        views = [_at_port(port, wanted.name, one.workers, before) for one in controllers.snapshots()]
        seen = [record for view in views for record in view]
        for record in seen:
            require_reachable(record.url, asked, controllers.urls)
        if all(any(record.state == "ready" for record in view) for view in views):
            return seen[0]
        for record in seen:
            if record.state == "down":
                raise UserError(
                    f"The new worker failed: {record.detail}.", hint=f"Its log says more: {new.log}."
                )
        if new.ended():
            raise UserError(f"The new worker ended: {_last_line(new.log)}")
        if time.monotonic() - began > wanted.ready_timeout_s:
            raise UserError(
                f"The new worker was not ready after {wanted.ready_timeout_s:.0f} s{said and ': ' + said}.",
                hint=f"Its log says more: {new.log}.",
            )
        line = f"{seen[0].progress:.0%} {seen[0].detail}".strip() if seen else ""
        if line and line != said:
            said = line
            say(f"loading: {line}")
        time.sleep(POLL_S)


def _at_port(
    port: int, name: str, workers: Sequence[WorkerRecord], before: Sequence[WorkerRecord]
) -> list[WorkerRecord]:
    """Those among `workers` that serve the model at the port, and were not there before."""
    known = {(record.worker_id, record.incarnation) for record in before}
    found = [record for record in _serving(workers, name) if urlsplit(record.url).port == port]
    return [record for record in found if (record.worker_id, record.incarnation) not in known]


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1][-300:] if lines else f"see {log}"
