"""What the checks run against when no URL is given: our gateway before scripted engines or real vLLM."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypedDict

import httpx2

from common.registry import ModelCard, Snapshot
from finetune.demo.build import demo_directories
from tests.support.conformance.differential import Service
from tests.support.conformance.endpoint import Endpoint, Engine
from tests.support.forked_vllm import quick_vllm
from tests.support.gateway_stack import TOKEN, impatient_gateway, member
from tests.support.processes import free_port, kodolly, running, scripted_engine, wait_for

KEY = "conformance-key"
DEMO = Path(__file__).parents[3] / ".kodolly" / "e2e" / "demo"
NEEDS_ANOTHER_MODEL = {
    "dimensions": "the demo model's embeddings cannot be shortened",
    "classify": "the demo model is no classifier",
    "audio": "the demo model cannot hear",
    "reasoning": "the demo model does not think aloud",
    "tools": "the demo model is too small to call tools",
}
GATEWAY = """
gateway:
  external: {external}
  aliases: {{"{alias}": {model}}}
"""
ALIAS = "별칭"
"""What clients may also call the main model."""
PROVIDER_KEY = "provider-key"
ADMIN_TOKEN = "conformance-admin-token"


@contextmanager
def scripted_stack(tmp_path: Path) -> Iterator[Endpoint]:
    """Our gateway before two engines that serve `twin` and its adapter, one that serves `embed`, one whose
    model is still loading, and one that stands for OpenAI."""
    with ExitStack() as stack:
        names = {"twin-a": "twin", "twin-b": "twin", "embed": "embed", "late": "late", "outside": "outside"}
        keys = {"outside": PROVIDER_KEY}
        urls = {
            name: stack.enter_context(
                scripted_engine(tmp_path, "twin,twin-tuned" if model == "twin" else model, keys.get(name, ""))
            )
            for name, model in names.items()
        }
        outside: dict[str, object] = {
            "name": "openai",
            "base_url": f"{urls['outside']}/v1",
            "models": ["outside"],
        }
        outside["rename_params"] = {"max_tokens": "max_completion_tokens"}
        outside["key_env"] = "PROVIDER_KEY"
        gateway, controller, env = stack.enter_context(started_gateway(tmp_path, "twin", external=[outside]))
        for name in ("twin-a", "twin-b", "embed", "late"):
            joined = member(controller, urls[name], name, names[name])
            change: dict[str, Any] = {"state": "loading", "progress": 0.5} if name == "late" else {}
            if names[name] == "twin":
                change["models"] = (*joined.registration.models, ModelCard(name="twin-tuned", base="twin"))
            joined.registration = joined.registration.model_copy(update=change)
            stack.enter_context(joined.kept())
        hasty, restless = (
            stack.enter_context(impatient_gateway(tmp_path, env, controller, limit))
            for limit in ("first_event_timeout_s", "idle_timeout_s")
        )
        names_told = {"twin", "twin-tuned", "embed", "outside", ALIAS}
        for url in (gateway, hasty, restless):
            wait_for(lambda url=url: _models(url) == names_told, 10, what="all models")  # type: ignore[misc]
        yield Endpoint(
            base_url=f"{gateway}/v1",
            model="twin",
            alias=ALIAS,
            model_embed="embed",
            model_adapter="twin-tuned",
            model_loading="late",
            model_outside="outside",
            outside=Engine(urls["outside"]),
            api_key=KEY,
            kind="scripted",
            asks_for_keys=True,
            log=tmp_path / "gateway.log",
            hasty=f"{hasty}/v1",
            restless=f"{restless}/v1",
            engines=(Engine(urls["twin-a"]), Engine(urls["twin-b"])),
            direct={"twin": Service(urls["twin-a"], ""), "embed": Service(urls["embed"], "")},
            **limited_keys(gateway, "twin", "embed"),
        )


VLLM_FLAGS = ("--enable-auto-tool-choice", "--tool-call-parser", "hermes")


@contextmanager
def vllm_stack(tmp_path: Path) -> Iterator[Endpoint]:
    """Our gateway before real vLLM: demo-dolly, and demo-base as a model of embeddings."""
    subprocess.run([sys.executable, "-m", "finetune.demo.build", str(DEMO)], check=True)
    base, dolly = demo_directories(DEMO)
    with ExitStack() as stack:
        gateway, controller, _ = stack.enter_context(started_gateway(tmp_path, "dolly"))
        for model, name, flags in ((dolly, "dolly", VLLM_FLAGS), (base, "embed", ("--runner", "pooling"))):
            stack.enter_context(_worker(tmp_path, controller, model, name, flags))
        wait_for(lambda: _models(gateway) == {"dolly", "embed", ALIAS}, 300, what="both engines")
        yield Endpoint(
            base_url=f"{gateway}/v1",
            model="dolly",
            alias=ALIAS,
            model_embed="embed",
            api_key=KEY,
            kind="vllm",
            asks_for_keys=True,
            log=tmp_path / "gateway.log",
            lacks=NEEDS_ANOTHER_MODEL,
            direct=engines_of(controller),
            **limited_keys(gateway, "dolly", "embed"),
        )


class LimitedKeys(TypedDict):
    """Keys with limits, as Endpoint names them."""

    limited_key: str
    restricted_key: str
    spent_key: str


def limited_keys(gateway: str, model: str, other: str) -> LimitedKeys:
    """New ones: for `model`, and one for `other` alone."""

    def create(name: str, **limits: Any) -> str:
        headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
        asked = {"name": name} | limits
        answer = httpx2.post(f"{gateway}/admin/keys", json=asked, headers=headers, trust_env=False)
        return str(answer.raise_for_status().json()["secret"])

    keys: LimitedKeys = {
        "limited_key": create("limited", requests_per_min=20, tokens_per_min=100_000),
        "restricted_key": create("restricted", models=[other]),
        "spent_key": create("spent", budget_tokens=1),
    }
    wait_for(lambda: None not in [_models(gateway, str(key)) for key in keys.values()], 10, what="the keys")
    question = {"model": model, "messages": [{"role": "user", "content": "안녕"}], "max_tokens": 2}

    def is_spent() -> bool:
        headers = {"authorization": f"Bearer {keys['spent_key']}"}
        url = f"{gateway}/v1/chat/completions"
        return (
            httpx2.post(url, json=question, headers=headers, trust_env=False, timeout=30).status_code == 429
        )

    wait_for(is_spent, 30, what="the budget to be used up")
    return keys


def engines_of(controller: str) -> dict[str, Service]:
    """Where the engines are, and under which keys, as the controller tells gateways."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    with httpx2.stream("GET", f"{controller}/v1/watch", headers=headers, trust_env=False) as watch:
        line = next(line for line in watch.iter_lines() if line.startswith("data:"))
    snapshot = Snapshot.model_validate_json(line.removeprefix("data:"))
    return {
        card.name: Service(worker.url, worker.engine_key.get_secret_value())
        for worker in snapshot.workers
        for card in worker.models
    }


def _worker(tmp_path: Path, controller: str, model: Path, name: str, flags: Sequence[str]) -> Any:
    argv = kodolly("worker", str(model), "--name", name, "--port", str(free_port()))
    argv += ["--controller", controller, "--cpu-threads", "1", "--", *flags]
    env = {"KODOLLY_JOIN_TOKEN": TOKEN, "KODOLLY_STATE_DIR": str(tmp_path), **quick_vllm()}
    return running(argv, tmp_path / f"worker-{name}.log", None, env, tmp_path)


@contextmanager
def started_gateway(
    tmp_path: Path, model: str, external: Sequence[dict[str, Any]] = ()
) -> Iterator[tuple[str, str, dict[str, str]]]:
    """A controller and a gateway that asks for KEY and knows `model` as ALIAS too; yields the gateway's URL,
    the controller's, and both's environment."""
    controller, gateway = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    providers = json.dumps(list(external))  # JSON is YAML
    settings = GATEWAY.format(external=providers, alias=ALIAS, model=model)
    (tmp_path / "kodolly.yaml").write_text(settings, encoding="utf-8")
    env = {
        "KODOLLY_JOIN_TOKEN": TOKEN,
        "KODOLLY_STATE_DIR": str(tmp_path / "state"),
        "KODOLLY_API_KEYS": json.dumps([KEY]),
        "PROVIDER_KEY": PROVIDER_KEY,
        "KODOLLY_ADMIN_TOKEN": ADMIN_TOKEN,
        "KODOLLY_GATEWAY_CORS_ORIGINS": '["https://example.org"]',
    }
    with ExitStack() as stack:
        for part, url, more in (
            ("controller", controller, ()),
            ("gateway", gateway, ("--controller", controller)),
        ):
            argv = kodolly(part, "--port", url.rpartition(":")[2], *more)
            log = tmp_path / f"{part}.log"
            stack.enter_context(running(argv, log, f"{url}/healthz", env, tmp_path))
        yield gateway, controller, env


def _models(gateway: str, key: str = KEY) -> set[str] | None:
    """The models that a key sees; None while the key is not known."""
    headers = {"authorization": f"Bearer {key}"}
    answer = httpx2.get(f"{gateway}/v1/models", headers=headers, trust_env=False)
    if answer.status_code == 401:
        return None
    return {model["id"] for model in answer.raise_for_status().json()["data"]}
