"""A controller and a gateway as real processes, with scripted engines in the places of workers."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from common.registry import ModelCard, Registration
from tests.support.forked_kodolly import run_kodolly
from tests.support.processes import free_port, kodolly, running, scripted_engine, wait_for

TOKEN = "test-join-token"


@dataclass
class Member:
    """Stands in for a worker's supervisor: keeps one scripted engine registered."""

    controller: str
    registration: Registration
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock, repr=False)
    """A renewal that is under way does not overtake a changed registration."""

    def put(self) -> httpx2.Response:
        """Register or renew once."""
        with self._one_at_a_time:
            return httpx2.put(
                f"{self.controller}/v1/workers/{self.registration.worker_id}",
                content=self.registration.model_dump_json(),
                headers={"authorization": f"Bearer {TOKEN}", "content-type": "application/json"},
                trust_env=False,
            )

    @contextmanager
    def kept(self) -> Iterator["Member"]:
        """Renew in the background while the block runs."""
        stop = threading.Event()

        def renew() -> None:
            while not stop.wait(2.0):
                # A controller may be away; a supervisor goes on renewing, too.
                with suppress(httpx2.TransportError):
                    self.put()

        self.put().raise_for_status()
        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()


def member(controller: str, engine: str, worker_id: str, model: str) -> Member:
    """A ready worker `worker_id` that serves `model` at the URL `engine`."""
    return Member(
        controller,
        Registration(
            worker_id=worker_id,
            incarnation="incarnation-1",
            url=engine,
            models=(ModelCard(name=model, licence="Apache-2.0"),),
            state="ready",
            progress=1.0,
        ),
    )


@dataclass(frozen=True)
class Stack:
    """URLs of everything that runs."""

    gateway: str
    controller: str
    engines: dict[str, str]
    log: Path
    hasty: str
    restless: str
    """Two more gateways (`impatient_gateway`)."""


SETTINGS = """
gateway:
  external:
    - {{name: openai, base_url: "{outside}", key_env: OUTSIDE_KEY, models: [outside]}}
    - {{name: denied, base_url: "{outside}", key_env: WRONG_KEY, models: [denied]}}
    - {{name: nowhere, base_url: "http://127.0.0.1:9/v1", key_env: OUTSIDE_KEY, models: [nowhere]}}
    - {{name: keyless, base_url: "{outside}", key_env: ABSENT_KEY, models: [keyless]}}
"""


@contextmanager
def controller_and_gateway(
    folder: Path, env: dict[str, str]
) -> Iterator[tuple[str, str, "subprocess.Popen[bytes]"]]:
    """(a controller's URL, the URL of a gateway that follows it, the gateway's process); their logs lie in
    `folder`, where both run with `env` besides."""
    controller, gateway = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    lead = kodolly("controller", "--port", controller.rpartition(":")[2])
    follow = kodolly("gateway", "--port", gateway.rpartition(":")[2], "--controller", controller)
    with (
        running(lead, folder / "controller.log", f"{controller}/healthz", env, folder),
        running(follow, folder / "gateway.log", f"{gateway}/healthz", env, folder) as process,
    ):
        yield controller, gateway, process


@contextmanager
def impatient_gateway(folder: Path, env: dict[str, str], controller: str, limit: str) -> Iterator[str]:
    """Another gateway of the controller, with half a second for `limit`: that of the stack has all the time
    that a slow machine takes. `folder` has the settings in `kodolly.yaml`."""
    gateway = f"http://127.0.0.1:{free_port()}"
    argv = kodolly("gateway", "--port", gateway.rpartition(":")[2], "--controller", controller)
    own = env | {f"KODOLLY_GATEWAY_{limit.upper()}": "0.5"}
    with running(argv, folder / f"{limit}.log", f"{gateway}/healthz", own, folder):
        yield gateway


@contextmanager
def gateway_stack(tmp_path: Path) -> Iterator[Stack]:
    """Engines twin-a and twin-b (model `twin`), solo (model `solo`), outside (provider), one gateway."""
    with ExitStack() as stack:
        engines = {
            name: stack.enter_context(scripted_engine(tmp_path, model, key))
            for name, model, key in (
                ("twin-a", "twin", ""),
                ("twin-b", "twin", ""),
                ("solo", "solo", ""),
                ("outside", "outside", "right-key"),
            )
        }
        (tmp_path / "kodolly.yaml").write_text(SETTINGS.format(outside=f"{engines['outside']}/v1"))
        env = {
            "KODOLLY_JOIN_TOKEN": TOKEN,
            "KODOLLY_STATE_DIR": str(tmp_path / "state"),
            "OUTSIDE_KEY": "right-key",
            "WRONG_KEY": "wrong-key",
        }
        controller, gateway, _ = stack.enter_context(controller_and_gateway(tmp_path, env))
        for name, model in (("twin-a", "twin"), ("twin-b", "twin"), ("solo", "solo")):
            stack.enter_context(member(controller, engines[name], name, model).kept())
        hasty, restless = (
            stack.enter_context(impatient_gateway(tmp_path, env, controller, limit))
            for limit in ("first_event_timeout_s", "idle_timeout_s")
        )
        for url in (gateway, hasty, restless):
            wait_for(lambda url=url: len(model_ids(url)) == 5, 10, what="all models")  # type: ignore[misc]
        yield Stack(gateway, controller, engines, tmp_path / "gateway.log", hasty, restless)


def model_ids(gateway: str) -> list[str]:
    """The ids of GET /v1/models."""
    answer = httpx2.get(f"{gateway}/v1/models", trust_env=False).raise_for_status()
    return sorted(model["id"] for model in answer.json()["data"])


def create_key(env: dict[str, str], cwd: Path, *flags: str) -> str:
    """The secret of a new key of the store that `env` names."""
    done = run_kodolly("keys", "create", "시험", *flags, env=os.environ | env, cwd=cwd)
    done.check_returncode()
    return done.stdout.strip()
