"""A gateway in front of providers, as a process: names, parameters, proxies, reasons."""

import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.processes import free_port, kodolly, running, scripted_engine

SETTINGS = """
gateway:
  controllers: []
  aliases: {{대화: outside}}
  external:
    - name: outside
      base_url: "{engine}/v1?api-version=1"
      key_env: OUTSIDE_KEY
      models: [outside, gpt-5-nano]
      headers: {{x-team: nlp}}
      stream_options: false
    - name: behind
      base_url: http://llm.invalid/v1
      key_env: OUTSIDE_KEY
      models: [behind]
      proxy: "{engine}"
    - {{name: nowhere, base_url: "http://127.0.0.1:9/v1", key_env: OUTSIDE_KEY, models: [nowhere]}}
    - {{name: keyless, base_url: "http://127.0.0.1:9/v1", key_env: ABSENT_KEY, models: [keyless]}}
"""


@dataclass(frozen=True)
class Stage:
    gateway: str
    engine: str
    log: Path

    def ask(self, model: str, **fields: Any) -> httpx2.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "안녕"}], "max_tokens": 3, **fields}
        return httpx2.post(f"{self.gateway}/v1/chat/completions", json=body, trust_env=False, timeout=20)

    def last(self) -> dict[str, Any]:
        last: dict[str, Any] = httpx2.get(f"{self.engine}/_script/last", trust_env=False).json()
        return last | {"body": json.loads(b64decode(last["body"]))}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    place = tmp_path_factory.mktemp("providers")
    with scripted_engine(place, "outside", "right-key") as engine:
        (place / "kodolly.yaml").write_text(SETTINGS.format(engine=engine), encoding="utf-8")
        url, log = f"http://127.0.0.1:{free_port()}", place / "gateway.log"
        env = {"KODOLLY_STATE_DIR": str(place / "state"), "OUTSIDE_KEY": "right-key"}
        argv = kodolly("gateway", "--port", url.rpartition(":")[2])
        with running(argv, log, f"{url}/healthz", env, place):
            yield Stage(url, engine, log)


def test_answers_carry_the_name_that_was_asked_for(stage: Stage) -> None:
    for name in ("대화", "outside/outside", "outside"):
        assert stage.ask(name).json()["model"] == name
        assert stage.last()["body"]["model"] == "outside"
        lines = stage.ask(name, stream=True).text.splitlines()
        events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        assert {event["model"] for event in events} == {name}


def test_a_provider_is_asked_as_its_settings_say(stage: Stage) -> None:
    stage.ask("outside", stream=True, stream_options={"include_usage": True}, temperature=0.5)
    last = stage.last()
    headers = {name.lower(): value for name, value in last["headers"]}
    assert (last["path"], last["query"]) == ("/v1/chat/completions", "api-version=1")
    assert (headers["x-team"], headers["authorization"]) == ("nlp", "Bearer right-key")
    assert "stream_options" not in last["body"]
    assert (last["body"]["temperature"], last["body"]["max_tokens"]) == (0.5, 3)
    stage.ask("gpt-5-nano", temperature=0.5)
    sent = stage.last()["body"]
    assert "temperature" not in sent
    assert sent["max_completion_tokens"] == 3


def test_a_proxy_is_told_the_whole_address(stage: Stage) -> None:
    stage.ask("behind")
    last = stage.last()
    assert last["path"] == "http://llm.invalid/v1/chat/completions"
    assert dict(last["headers"])["host"] == "llm.invalid"


def test_why_a_provider_cannot_be_reached_is_in_the_answer_and_in_the_log(
    stage: Stage,
) -> None:
    error = stage.ask("nowhere").json()["error"]
    assert "'nowhere' cannot be reached: it refuses the connection." in error["message"]
    said = stage.log.read_text(encoding="utf-8")
    assert "(127.0.0.1:9 refuses the connection)" in said
    assert "provider keyless is not offered: ABSENT_KEY is empty" in said
    assert "right-key" not in said


def test_a_providers_limits_are_told_with_good_answers(stage: Stage) -> None:
    told = {"x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-tokens": "6m0s", "x-secret": "no"}
    httpx2.post(
        f"{stage.engine}/_script", json={"mode": "ok", "headers": list(told.items())}, trust_env=False
    )
    try:
        for stream in (False, True):
            answer = stage.ask("outside", stream=stream)
            assert answer.status_code == 200
            assert answer.headers["x-ratelimit-remaining-requests"] == "59"
            assert answer.headers["x-ratelimit-reset-tokens"] == "6m0s"
            assert "x-secret" not in answer.headers
    finally:
        httpx2.post(f"{stage.engine}/_script", json={"mode": "ok", "headers": []}, trust_env=False)
