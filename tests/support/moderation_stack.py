"""A gateway with a moderation worker, a provider's such model, and an engine that says what it is told."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.support.echo_engine import MODELS
from tests.support.gateway_stack import TOKEN
from tests.support.moderation_data import trained
from tests.support.processes import free_port, kodolly, running, wait_for

OUTSIDE = "omni-moderation-latest"
KEYS = {"team": None, "guard only": ["guard"], "outside only": [OUTSIDE], "watched": None}
ADMIN = {"authorization": "Bearer admin"}
SETTINGS = """
gateway:
  require_keys: true
  keep_alive_s: 5
  external:
    - {{name: openai, base_url: {outside}/v1, key_env: OUTSIDE_KEY, models: [omni-moderation-latest]}}
  static: [{static}]
  moderation:
    - {{model: guard, looks_at: output, models: [careful]}}
    - {{model: guard, looks_at: input, models: [strict], categories: [ABUSE, hate]}}
    - {{model: guard, action: flag, models: [counted]}}
    - {{model: missing, models: [unseen]}}
    - {{model: guard, looks_at: input, keys: [watched]}}
"""


@dataclass(frozen=True)
class Stack:
    """URLs of what runs, and keys by name."""

    gateway: str
    echo: str
    keys: dict[str, str]


@contextmanager
def provider(model: Path, place: Path) -> Iterator[str]:
    """A moderation service of somebody else's, which asks for a key."""
    port = str(free_port())
    argv = [sys.executable, "-m", "moderation.service", str(model), "--host", "127.0.0.1", "--port", port]
    url, env = f"http://127.0.0.1:{port}", {"KODOLLY_ENGINE_KEY": "right-key"}
    with running([*argv, "--name", OUTSIDE], place / "provider.log", f"{url}/health", env):
        yield url


@contextmanager
def moderation_stack(place: Path) -> Iterator[Stack]:
    """A moderation worker `guard`, the provider, the engine, and a gateway with rules that asks for keys."""
    model = trained(place)
    controller, url = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    with ExitStack() as stack:
        outside = stack.enter_context(provider(model, place))
        echo = f"http://127.0.0.1:{free_port()}"
        argv = [sys.executable, "-m", "tests.support.echo_engine", echo.rpartition(":")[2]]
        stack.enter_context(running(argv, place / "echo.log", f"{echo}/v1/models"))
        static = ", ".join(f"{name}={echo}" for name in MODELS)
        (place / "kodolly.yaml").write_text(SETTINGS.format(outside=outside, static=static))
        env = {
            "KODOLLY_JOIN_TOKEN": TOKEN,
            "KODOLLY_STATE_DIR": str(place / "state"),
            "KODOLLY_ADMIN_TOKEN": "admin",
            "OUTSIDE_KEY": "right-key",
        }
        parts = (
            ("controller", ["--port", controller.rpartition(":")[2]], f"{controller}/healthz"),
            ("gateway", ["--port", url.rpartition(":")[2], "--controller", controller], f"{url}/healthz"),
        )
        for name, flags, health in parts:
            stack.enter_context(running(kodolly(name, *flags), place / f"{name}.log", health, env, place))
        port = str(free_port())
        argv = kodolly("worker", str(model), "--name", "guard", "--port", port, "--controller", controller)
        stack.enter_context(running(argv, place / "worker.log", env=env, cwd=place))
        wait_for(lambda: "guard" in listed(url), 60, log=place / "worker.log", what="the moderation model")
        yield Stack(url, echo, make_keys(url))


def listed(gateway: str) -> dict[str, str | None]:
    """Model name -> kind of what is ready."""
    status = httpx2.get(f"{gateway}/v1/status", headers=ADMIN, trust_env=False).json()
    return {m["id"]: m["model_kind"] for m in status["models"] if m["state"] == "ready"}


def make_keys(gateway: str) -> dict[str, str]:
    """A key for everything, one for each moderation model alone, and one that a rule watches."""
    keys = {}
    for name, models in KEYS.items():
        body = {"name": name, "models": models}
        made = httpx2.post(f"{gateway}/admin/keys", json=body, headers=ADMIN, trust_env=False)
        keys[name] = str(made.raise_for_status().json()["secret"])
    wait_for(lambda: all(is_in_force(gateway, key) for key in keys.values()), 30, what="the keys")
    return keys


def is_in_force(gateway: str, key: str) -> bool:
    headers = {"authorization": f"Bearer {key}"}
    return httpx2.get(f"{gateway}/v1/models", headers=headers, trust_env=False).status_code == 200
