"""Workers from the settings alone."""

import asyncio
from pathlib import Path

import httpx2
import pytest

import server.upstreams.static
from common.errors import ModelNotReady, UserError
from common.settings import load_settings
from server.app import create_app
from server.settings import GatewaySettings, StaticModel
from server.upstreams.choice import candidates, ready
from server.upstreams.directory import Directory
from server.upstreams.static import static_upstreams, watch_static
from server.upstreams.status import status_models
from tests.support.asgi_server import started
from tests.support.foreign_server import foreign_server, listing
from tests.support.processes import free_port, kodolly, running, scripted_engine, wait_for
from tests.support.until import until
from tests.support.worker_stage import scripted


def model(text: str) -> StaticModel:
    return StaticModel.model_validate(text)


def test_a_server_with_two_models_is_one_upstream_and_a_model_may_have_two_servers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ENGINE_KEY", "k")
    models = [
        model("돌리=http://10.0.0.7:1/v1/"),
        model("a=b=http://10.0.0.7:1"),
        StaticModel(name="돌리", url="http://10.0.0.8:1", key_env="ENGINE_KEY"),
    ]
    first, second = static_upstreams(models)
    assert (first.id, list(first.models), first.state) == ("10.0.0.7:1", ["돌리", "a=b"], "loading")
    assert (second.reported.url, second.reported.key.get_secret_value()) == ("http://10.0.0.8:1", "k")


@pytest.mark.parametrize(
    "text", ["dolly", "dolly=", "=http://x:1", "dolly=ftp://x", "dolly=http://x/path", "dolly=http://x:99999"]
)
def test_what_is_no_name_and_url_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"gateway\.static"):
        load_settings(GatewaySettings, {"static": (text,)})


def test_with_static_alone_no_controller_is_followed() -> None:
    static = {"static": ("dolly=http://127.0.0.1:1",)}
    assert load_settings(GatewaySettings, static).controllers == ()
    both = load_settings(GatewaySettings, static | {"controllers": ("http://c:1",)})
    assert both.controllers == ("http://c:1",)
    assert len(load_settings(GatewaySettings).controllers) == 1


async def test_states_follow_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.upstreams.static, "LOOK_EVERY_S", 0.05)
    port, directory = free_port(), Directory()
    url = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("ENGINE_KEY", "k")
    models = [StaticModel(name="dolly", url=url, key_env="ENGINE_KEY")]
    async with httpx2.AsyncClient(trust_env=False) as http:
        watching = asyncio.create_task(watch_static(directory, models, http))
        try:
            await until(lambda: status_models(directory)[:1] != [] and state(directory) == "down")
            assert status_models(directory)[0].last_seen_s is None
            with pytest.raises(ModelNotReady, match="none has answered yet"):
                candidates(directory, "dolly")
            with running(scripted(port), tmp_path / "log", f"{url}/health"):
                await until(lambda: state(directory) == "ready")
                assert [up.id for up in candidates(directory, "dolly")] == [f"127.0.0.1:{port}"]
                await http.post(f"{url}/_script", json={"health": 503})
                await until(lambda: status_models(directory)[0].detail == "its /health answers 503")
                await http.post(f"{url}/_script", json={"health": 404})  # as a server without that page
                await until(lambda: state(directory) == "ready")
            await until(lambda: status_models(directory)[0].detail == "nothing answers at its address")
            assert status_models(directory)[0].last_seen_s is not None
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


async def test_a_gateway_takes_no_request_before_its_static_servers_were_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a process that takes another's place refuses what that one would have answered."""
    monkeypatch.setattr("server.app.FIRST_WORD_S", 0.0)  # that limit is for controllers
    async with foreign_server({"/v1/models": (200, listing("돌리"))}) as foreign:
        static = (f"돌리={foreign.url}",)
        app = create_app(load_settings(GatewaySettings, {"static": static, "state_dir": str(tmp_path)}))
        async with started(app):
            assert foreign.calls["/v1/models"] > 0


async def test_a_gateway_before_a_documents_service_waits_for_no_static_server_that_it_has_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.app.FIRST_WORD_S", 0.2)  # it knows of the service by then
    monkeypatch.setattr("server.app.FIRST_LOOK_S", None)  # without end
    nowhere = f"http://127.0.0.1:{free_port()}"
    settings = {"controllers": (nowhere,), "documents_url": nowhere, "documents_token": "t" * 32}
    async with started(create_app(load_settings(GatewaySettings, settings | {"state_dir": str(tmp_path)}))):
        pass


def state(directory: Directory) -> str:
    return status_models(directory)[0].state


async def test_a_server_without_the_model_is_never_asked(tmp_path: Path) -> None:
    directory = Directory()
    with scripted_engine(tmp_path, "another") as url:
        async with httpx2.AsyncClient(trust_env=False) as http:
            watching = asyncio.create_task(watch_static(directory, [model(f"dolly={url}")], http))
            try:
                await until(lambda: status_models(directory) != [] and state(directory) == "down")
                assert status_models(directory)[0].detail == "it does not serve 'dolly'"
                assert ready(directory, "dolly") == []
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)


def test_the_gateway_serves_a_static_model_without_any_controller(tmp_path: Path) -> None:
    with scripted_engine(tmp_path, "돌리") as engine:
        port = free_port()
        url, log = f"http://127.0.0.1:{port}", tmp_path / "gateway.log"
        argv = kodolly("gateway", "--port", str(port), "--static", f"돌리={engine}/v1")
        env = {"KODOLLY_STATE_DIR": str(tmp_path / "state")}
        body = {"model": "돌리", "messages": [{"role": "user", "content": "안녕"}], "max_tokens": 2}
        with running(argv, log, f"{url}/healthz", env, tmp_path):
            answers = wait_for_answer(f"{url}/v1/chat/completions", body)
            asked = {"model": "돌리", "input": "안녕", "max_output_tokens": 2}
            made = httpx2.post(f"{url}/v1/responses", json=asked, trust_env=False).json()
            kept = httpx2.get(f"{url}/v1/responses/{made['id']}", trust_env=False).json()
            metrics = httpx2.get(f"{url}/metrics", trust_env=False).text
            listed = httpx2.get(f"{url}/v1/models", trust_env=False).json()["data"]
    assert "돌리-0" in answers
    assert [entry["id"] for entry in listed] == ["돌리"]
    assert kept["output"] == made["output"], "its worker is not asked again"
    assert 'kodolly_gateway_upstream_in_flight{kind="worker",process="0",upstream="127.0.0.1:' in metrics
    assert "controller" not in log.read_text(encoding="utf-8")


def test_a_stored_response_is_open_only_to_the_key_that_made_it(tmp_path: Path) -> None:
    with scripted_engine(tmp_path, "돌리") as engine:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        env = {"KODOLLY_STATE_DIR": str(tmp_path / "state"), "KODOLLY_API_KEYS": '["key-one", "key-two"]'}
        argv = kodolly("gateway", "--port", str(port), "--static", f"돌리={engine}")
        asked: dict[str, object] = {"model": "돌리", "input": "안녕", "max_output_tokens": 2}

        def ask(key: str, method: str, path: str, **fields: object) -> httpx2.Response:
            headers = {"authorization": f"Bearer {key}"}
            body = asked | fields if fields else None
            return httpx2.request(method, url + path, json=body, headers=headers, trust_env=False)

        with running(argv, tmp_path / "gateway.log", f"{url}/healthz", env, tmp_path):
            wait_for(lambda: ask("key-one", "POST", "/v1/responses", store=True).status_code == 200, 10)
            made = ask("key-one", "POST", "/v1/responses", store=True).json()["id"]
            again = ask("key-two", "POST", "/v1/responses", store=True, request_id=made).json()["id"]
            mine = ask("key-one", "GET", f"/v1/responses/{made}")
            theirs = [
                ask("key-two", "GET", f"/v1/responses/{made}"),
                ask("key-two", "POST", f"/v1/responses/{made}/cancel"),
                ask("key-two", "POST", "/v1/responses", previous_response_id=made),
                ask("key-one", "GET", f"/v1/responses/{again}"),
            ]
    assert (mine.status_code, mine.json()["id"]) == (200, made)
    assert [answer.status_code for answer in theirs] == [404] * 4
    assert again != made, "an id that a client asks for does not replace another's response"


def wait_for_answer(url: str, body: dict[str, object]) -> str:
    texts: list[str] = []

    def asked() -> bool:
        answer = httpx2.post(url, json=body, trust_env=False)
        if answer.status_code == 200:
            texts.append(str(answer.json()["choices"][0]["message"]["content"]))
        return bool(texts)

    wait_for(asked, 10, what="an answer")
    return texts[0]


def test_the_gateway_counts_the_connections_of_its_clients(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    argv = kodolly("gateway", "--port", str(port), "--static", "돌리=http://127.0.0.1:9")

    def shown() -> float:
        lines = httpx2.get(f"{url}/metrics", trust_env=False).text.splitlines()
        (line,) = [one for one in lines if one.startswith("kodolly_gateway_client_connections{")]
        return float(line.rpartition(" ")[2])

    env = {"KODOLLY_STATE_DIR": str(tmp_path / "state")}
    with running(argv, tmp_path / "gateway.log", f"{url}/healthz", env, tmp_path):
        with httpx2.Client(trust_env=False) as kept, httpx2.Client(trust_env=False) as also_kept:
            for client in (kept, also_kept):
                client.get(f"{url}/healthz")
            wait_for(lambda: shown() == 3, 20, what="two that are kept, and the one that asks")
        wait_for(lambda: shown() == 1, 20, what="the one that asks")
