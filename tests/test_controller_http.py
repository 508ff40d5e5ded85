"""The controller as a real process: tokens, call-back, refusals, watch."""

import asyncio
import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

import controller.watchers as controller_watchers
from common.registry import Delta
from controller.registry import Registry
from controller.watchers import QUEUE_LENGTH, Watchers, WatchResponse
from tests.support.gateway_stack import TOKEN, Member, member
from tests.support.processes import PATIENCE_S, free_port, kodolly, running, scripted_engine, wait_for

AUTH = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    tmp_path = tmp_path_factory.mktemp("controller")
    port = free_port()
    env = {"KODOLLY_JOIN_TOKEN": TOKEN}
    argv = kodolly("controller", "--port", str(port))
    with running(argv, tmp_path / "log", f"http://127.0.0.1:{port}/healthz", env, tmp_path):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with scripted_engine(tmp_path_factory.mktemp("engine"), "dolly", "engine-key") as url:
        yield url


def changed(known: Member, **fields: Any) -> Member:
    return replace(known, registration=known.registration.model_copy(update=fields))


def workers(controller: str) -> dict[str, dict[str, Any]]:
    answer = httpx2.get(f"{controller}/v1/workers", headers=AUTH, trust_env=False).raise_for_status()
    return {worker["worker_id"]: worker for worker in answer.json()["workers"]}


@pytest.mark.parametrize("body", [b'{"names": {"a": {"b": NaN}}}', b'{"a": "\\ud800"}', b'{"a": 1e999}'])
def test_what_python_alone_takes_for_json_is_refused(controller: str, body: bytes) -> None:
    headers = AUTH | {"content-type": "application/json"}
    refused = httpx2.put(f"{controller}/v1/aliases/a", content=body, headers=headers, trust_env=False)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("path", ["/v1/workers", "/v1/watch"])
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic x"}])
def test_without_the_join_token_nothing_is_told(controller: str, path: str, headers: dict[str, str]) -> None:
    answer = httpx2.get(f"{controller}{path}", headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


def test_nobody_without_the_token_gets_a_body_read(controller: str) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(65536)

    answer = httpx2.put(f"{controller}/v1/workers/x", content=endless(), trust_env=False, timeout=PATIENCE_S)
    assert answer.status_code == 401
    host, port = controller.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as stranger:
        stranger.sendall(b"PUT /v1/workers/x HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999\r\n\r\n")
        assert stranger.recv(100).startswith(b"HTTP/1.1 401 ")
    too_long = httpx2.put(
        f"{controller}/v1/workers/x", content=bytes(1024 * 1024 + 1), headers=AUTH, trust_env=False
    )
    assert (too_long.status_code, too_long.json()["error"]["code"]) == (413, "payload_too_large")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/none", 404, "not_found"),
        ("GET", "/none", 404, "not_found"),
        ("POST", "/v1/workers", 405, "method_not_allowed"),
        ("PUT", "/v1/workers/x", 400, "invalid_json"),
    ],
)
def test_every_failure_is_an_openai_error_object(
    controller: str, method: str, path: str, status: int, code: str
) -> None:
    json_type = {"content-type": "application/json"}
    answer = httpx2.request(
        method, f"{controller}{path}", content=b"{", headers=AUTH | json_type, trust_env=False
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_worker_is_ready_after_it_answered_with_the_right_model_and_key(
    controller: str, engine: str
) -> None:

    right = changed(member(controller, engine, "right", "dolly"), engine_key=SecretStr("engine-key"))
    assert right.put().json()["state"] == "ready"
    wrong_key = changed(right, worker_id="wrong-key", engine_key=SecretStr("other"))
    assert wrong_key.put().json()["state"] == "loading"
    wrong_model = member(controller, engine, "wrong-model", "another")
    wrong_model = changed(wrong_model, engine_key=SecretStr("engine-key"))
    answer = wrong_model.put().json()
    assert (answer["state"], "does not serve 'another'" in answer["detail"]) == ("loading", True)
    assert "engine-key" not in json.dumps(workers(controller))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://8.8.8.8:80", "outside controller.allow_networks"),
        ("http://169.254.169.254", "outside controller.allow_networks"),
        (f"http://{'a' * 60}:80", "does not resolve"),
        ("http://[::ffff:169.254.169.254]:80", "outside controller.allow_networks"),
        ("http://0.0.0.0:80", "outside controller.allow_networks"),
        ("http://127.0.0.1:1", "does not answer"),
    ],
)
def test_an_address_that_may_not_be_called_never_becomes_ready(controller: str, url: str, why: str) -> None:
    answer = member(controller, url, "elsewhere", "dolly").put().json()
    assert answer["state"] == "loading"
    assert why in answer["detail"]


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "http://127.0.0.1:1/v1/admin?x=1",
        "http://user@127.0.0.1:1",
        "http://127.0.0.1:99999",
        "http://h:x",
        "http://[::1",
        f"http://{'a' * 70}:80",
    ],
)
def test_a_registration_without_an_address_is_refused(controller: str, engine: str, url: str) -> None:
    body = json.loads(member(controller, engine, "nowhere", "dolly").registration.model_dump_json())
    address = f"{controller}/v1/workers/nowhere"
    answer = httpx2.put(address, json=body | {"url": url}, headers=AUTH, trust_env=False)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "url")
    assert "nowhere" not in workers(controller)


def test_registrations_that_make_no_sense_are_refused(controller: str, engine: str) -> None:
    known = member(controller, engine, "sense", "dolly")
    body = json.loads(known.registration.model_dump_json())
    for broken in (body | {"models": []}, body | {"state": "happy"}, body | {"worker_id": "other"}, [1]):
        answer = httpx2.put(f"{controller}/v1/workers/sense", json=broken, headers=AUTH, trust_env=False)
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    answer = httpx2.delete(f"{controller}/v1/workers/sense", headers=AUTH, trust_env=False)
    assert answer.status_code == 400
    answer = httpx2.delete(f"{controller}/v1/workers/none?incarnation=x", headers=AUTH, trust_env=False)
    assert answer.status_code == 404


def test_a_watch_starts_with_a_snapshot_and_goes_on_with_deltas(controller: str, engine: str) -> None:
    seen: list[tuple[str, dict[str, Any]]] = []
    with httpx2.stream(
        "GET", f"{controller}/v1/watch", headers=AUTH, trust_env=False, timeout=PATIENCE_S
    ) as stream:
        kind = ""
        for line in stream.iter_lines():
            if line.startswith("event:"):
                kind = line[6:].strip()
            elif line.startswith("data:"):
                seen.append((kind, json.loads(line[5:])))
                if len(seen) == 1:
                    changed(member(controller, engine, "watched", "dolly"), state="loading").put()
                elif any(w["worker_id"] == "watched" for w in seen[-1][1]["changed"]):
                    break
    assert seen[0][0] == "snapshot"
    versions = [message["version"] for _, message in seen]
    assert versions == list(range(versions[0], versions[0] + len(seen)))


def test_a_stop_ends_open_watches_at_once_and_without_a_complaint(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    url, env = f"http://127.0.0.1:{port}", {"KODOLLY_JOIN_TOKEN": TOKEN}
    argv = kodolly("controller", "--port", str(port))
    with (
        running(argv, log, f"{url}/healthz", env, tmp_path) as process,
        httpx2.stream("GET", f"{url}/v1/watch", headers=AUTH, trust_env=False, timeout=PATIENCE_S) as watch,
    ):
        lines = watch.iter_lines()
        assert next(lines) == "event: snapshot"
        process.terminate()
        list(lines)  # ends whole, not by a broken connection
        process.wait(PATIENCE_S)
    assert "ERROR" not in log.read_text(encoding="utf-8")


async def test_a_watcher_that_falls_behind_is_cut_off() -> None:
    watchers = Watchers()
    registry = Registry()
    events = aiter(watchers.follow(registry.snapshot))
    assert (await anext(events)).startswith(b"event: snapshot")
    for version in range(QUEUE_LENGTH + 1):
        watchers.publish(Delta(epoch="e", version=version + 1))
    rest = [event async for event in events]
    assert len(rest) == QUEUE_LENGTH - 1
    watchers.publish(Delta(epoch="e", version=999))  # nobody is left to whom it could pile up


async def test_a_watcher_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller_watchers, "SEND_LIMIT_S", 0.1)

    async def stuck(_message: object) -> None:
        await asyncio.Event().wait()

    with pytest.raises(ConnectionError, match="does not read"):
        await WatchResponse(Watchers().follow(Registry().snapshot)).stream_response(stuck)


def test_without_a_token_in_its_settings_the_controller_says_so(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running(kodolly("controller", "--port", str(free_port())), log, cwd=tmp_path) as process:
        wait_for(lambda: process.poll() is not None, 20)
    text = log.read_text(encoding="utf-8")
    assert process.returncode == 2
    assert text == (
        "kodolly: Setting controller.join_token is missing. "
        "Set KODOLLY_JOIN_TOKEN in the environment or in .env.\n"
    )
    assert "Traceback" not in text
