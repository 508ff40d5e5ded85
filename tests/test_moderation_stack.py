"""`kodolly worker` serves a moderation model, and the gateway offers it to OpenAI's client."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import openai
import pytest

from tests.gateway_stack import TOKEN
from tests.moderation_data import CLEAN, ENDINGS, trained
from tests.processes import free_port, kodolly, running, wait_for

pytestmark = pytest.mark.slow
OUTSIDE = "omni-moderation-latest"
BAD = f"정말 {ENDINGS['ABUSE']}"
ADMIN = {"authorization": "Bearer admin"}


@contextmanager
def provider(model: Path, place: Path) -> Iterator[str]:
    """A moderation service of somebody else's, which asks for a key."""
    port = str(free_port())
    argv = [sys.executable, "-m", "moderation.service", str(model), "--host", "127.0.0.1", "--port", port]
    url, env = f"http://127.0.0.1:{port}", {"KODOLLY_ENGINE_KEY": "right-key"}
    with running([*argv, "--name", OUTSIDE], place / "provider.log", f"{url}/health", env):
        yield url


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A moderation worker, a provider with such a model, and a gateway that asks for keys."""
    place = tmp_path_factory.mktemp("stack")
    model = trained(place)
    controller, url = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    with ExitStack() as stack:
        outside = stack.enter_context(provider(model, place))
        (place / "kodolly.yaml").write_text(
            f"gateway:\n  require_keys: true\n  external:\n    - {{name: openai, base_url: {outside}/v1, "
            "key_env: OUTSIDE_KEY, models: [omni-moderation-latest]}\n"
        )
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
        yield url


def listed(gateway: str) -> dict[str, str | None]:
    """Model name -> kind of what is ready."""
    status = httpx2.get(f"{gateway}/v1/status", headers=ADMIN, trust_env=False).json()
    return {m["id"]: m["model_kind"] for m in status["models"] if m["state"] == "ready"}


def key_for(gateway: str, *models: str) -> str:
    body = {"name": "team", "models": list(models)}
    made = httpx2.post(f"{gateway}/admin/keys", json=body, headers=ADMIN, trust_env=False)
    secret = str(made.raise_for_status().json()["secret"])
    headers = {"authorization": f"Bearer {secret}"}
    url = f"{gateway}/v1/models"
    wait_for(lambda: httpx2.get(url, headers=headers, trust_env=False).status_code == 200, 30, what="the key")
    return secret


def client(gateway: str, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway}/v1", api_key=key, max_retries=0)


def test_openais_client_asks_it_by_name_and_without_one(gateway: str) -> None:
    asked = client(gateway, key_for(gateway, "guard"))
    answer = asked.moderations.create(model="guard", input=[CLEAN[0], BAD])
    assert [one.flagged for one in answer.results] == [False, True]
    categories = answer.results[1].categories
    assert (categories.harassment, categories.self_harm, categories.violence_graphic) == (True, False, False)
    assert categories.model_extra is not None
    assert categories.model_extra["ABUSE"] is True
    assert answer.results[1].category_scores.harassment > 0.3
    assert asked.moderations.create(input=BAD).model == "guard"
    parts = asked.moderations.create(input=[{"type": "text", "text": BAD}])
    assert [one.flagged for one in parts.results] == [True]


def test_a_keys_scope_holds_and_it_answers_no_chat(gateway: str) -> None:
    other = client(gateway, key_for(gateway, OUTSIDE))
    with pytest.raises(openai.PermissionDeniedError):
        other.moderations.create(model="guard", input="안녕")
    with pytest.raises(openai.BadRequestError, match="`model` is missing"):
        other.moderations.create(input="안녕")
    own = client(gateway, key_for(gateway, "guard"))
    with pytest.raises(openai.NotFoundError, match="does not answer /v1/chat/completions"):
        own.chat.completions.create(model="guard", messages=[{"role": "user", "content": "안녕"}])
    with pytest.raises(openai.BadRequestError, match="input must be a string"):
        own.moderations.create(model="guard", input=[])


def test_a_providers_moderation_model_is_relayed_as_it_is(gateway: str) -> None:
    key = key_for(gateway, OUTSIDE)
    body = {"model": OUTSIDE, "input": "안녕"}
    headers = {"authorization": f"Bearer {key}"}
    answer = httpx2.post(f"{gateway}/v1/moderations", json=body, headers=headers, trust_env=False)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["model"], len(said["results"])) == (OUTSIDE, 1)


def test_the_kind_is_shown_and_asking_it_is_refused_with_a_hint(gateway: str) -> None:
    assert listed(gateway) == {"guard": "moderation", OUTSIDE: None}
    env = {**os.environ, "KODOLLY_API_KEY": key_for(gateway, "guard")}

    def said(*arguments: str) -> "subprocess.CompletedProcess[str]":
        argv = kodolly(*arguments, "--gateway", gateway)
        return subprocess.run(argv, env=env, capture_output=True, text=True, check=False)

    assert "moderation" in said("models").stdout
    refused = said("ask", "-m", "guard", "안녕")
    assert refused.returncode == 2
    assert "guard is no chat model, but one of kind moderation" in refused.stderr
