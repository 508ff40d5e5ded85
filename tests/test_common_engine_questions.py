"""What is asked of engines and of other people's servers, and what is made of their answers."""

import asyncio
from typing import Any

import httpcore2
import httpx2
import pytest
from pydantic import SecretStr

import server.upstreams.probe
import server.upstreams.static
import worker.attach
import worker.health
from common.engine_questions import (
    Ill,
    KeyRefused,
    ModelMissing,
    NotServing,
    check_serving,
    list_models,
)
from common.registry import ModelCard, Registration, Snapshot, WorkerRecord
from common.tls import trusted_certificates
from controller.callback import call_back
from controller.settings import PRIVATE_NETWORKS
from server.settings import StaticModel
from server.upstreams.choice import candidates
from server.upstreams.directory import Directory
from server.upstreams.probe import probe_workers
from server.upstreams.static import watch_static
from tests.support.foreign_server import ForeignServer, foreign_server, listing
from worker.attach import AttachedEngine, watch_attached

LITELLM = {
    "/v1/models": (200, listing("dolly", "gpt-4o", owned_by="openai")),
    "/health": (200, {"healthy_endpoints": ["each of them was asked for a text"]}),
}
OLLAMA = {"/v1/models": (200, listing("dolly", owned_by="library"))}
VLLM = {"/v1/models": (200, listing("dolly", owned_by="vllm", max_model_len=4096)), "/health": (200, {})}


async def ask(foreign: ForeignServer, *names: str, key: str = "") -> Any:
    async with httpx2.AsyncClient(trust_env=False) as client:
        return await check_serving(client, foreign.url, key, names or ("dolly",))


async def test_a_server_of_others_is_looked_at_through_its_models_alone() -> None:
    async with foreign_server(LITELLM, key="k") as foreign:
        await ask(foreign, key="k")
    assert dict(foreign.calls) == {"/v1/models": 1}


@pytest.mark.parametrize("owner", ["vllm", "sglang", "llamacpp"])
async def test_an_engine_that_answers_for_nothing_is_asked_for_its_health_without_the_key(owner: str) -> None:
    pages = {"/v1/models": (200, listing("dolly", owned_by=owner)), "/health": (503, {})}
    async with foreign_server(pages) as foreign:
        with pytest.raises(Ill, match="its /health answers 503"):
            await ask(foreign, key="secret")
    assert dict(foreign.with_key) == {"/v1/models": 1, "/health": 0}


@pytest.mark.parametrize("status", [401, 403, 404, 405, 501])
async def test_a_health_page_that_is_missing_or_guarded_is_no_illness(status: int) -> None:
    async with foreign_server(VLLM | {"/health": (status, {})}) as foreign:
        assert (await ask(foreign))["dolly"].context_length == 4096


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        ({"max_model_len": 4096}, 4096),
        ({"context_length": 8192}, 8192),
        ({"context_window": 131072}, 131072),
        ({"max_context_length": 32768}, 32768),
        ({"meta": {"n_ctx": 2048, "n_ctx_train": 131072}}, 2048),
        ({"max_model_len": "long", "context_length": True}, None),
        ({"max_model_len": None, "meta": None}, None),
    ],
)
async def test_the_context_length_is_read_by_its_many_names(
    fields: dict[str, Any], length: int | None
) -> None:
    async with foreign_server({"/v1/models": (200, listing("dolly", **fields))}) as foreign:
        assert (await ask(foreign))["dolly"].context_length == length


async def test_what_is_wrong_is_told_in_words() -> None:
    async with foreign_server(LITELLM, key="k") as foreign:
        with pytest.raises(KeyRefused, match="refuses its key"):
            await ask(foreign, key="wrong")
        with pytest.raises(KeyRefused, match="asks for a key"):
            await ask(foreign)
        with pytest.raises(ModelMissing, match="does not serve 'other'") as missing:
            await ask(foreign, "dolly", "other", key="k")
    assert missing.value.listed == ("dolly", "gpt-4o")
    refusal = {"error": {"message": "No connected\x1b[31m db"}}
    async with foreign_server({"/v1/models": (400, refusal)}) as foreign:
        with pytest.raises(NotServing, match=r"answers 400: No connected \[31m db"):
            await ask(foreign, key="k")
    with pytest.raises(NotServing, match="nothing answers"):
        await ask(foreign)


@pytest.mark.parametrize(
    "body", [[], {}, {"data": None}, {"data": [1]}, {"data": ["x"]}, {"data": [{}]}, "x"]
)
async def test_what_is_no_list_of_models_is_no_engine(body: Any) -> None:
    async with foreign_server({"/v1/models": (200, body)}) as foreign:
        with pytest.raises(NotServing, match="not a list of models"):
            await ask(foreign)


async def test_a_list_without_end_is_given_up() -> None:
    async with foreign_server({"/v1/models": (200, listing("x" * 2_000_000))}) as foreign:
        async with httpx2.AsyncClient(trust_env=False) as client:
            with pytest.raises(NotServing, match="not a list of models"):
                await list_models(client, foreign.url, "")


def record(url: str, state: Any = "ready", name: str = "attached") -> WorkerRecord:
    return WorkerRecord(
        worker_id=name,
        incarnation="incarnation-1",
        url=url,
        engine_key=SecretStr("k"),
        models=(ModelCard(name="dolly"),),
        state=state,
    )


async def test_a_call_back_does_not_read_the_certificates_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """That holds the loop for 50 ms, and after a restart of the controller all workers come at once."""
    trusted_certificates()
    monkeypatch.setattr(httpcore2, "default_ssl_context", lambda **_: pytest.fail("read again"))
    async with foreign_server(LITELLM, key="k") as foreign:
        await call_back(Registration.model_validate(record(foreign.url).model_dump()), PRIVATE_NETWORKS)
        assert foreign.calls["/v1/models"] == 1


async def test_nobody_who_looks_after_a_server_buys_a_text_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker that is attached, its controller, the gateway with and without one: each looks often."""
    for module, name in (
        (worker.attach, "LOOK_EVERY_S"),
        (server.upstreams.static, "LOOK_EVERY_S"),
        (server.upstreams.probe, "EVERY_S"),
    ):
        monkeypatch.setattr(module, name, 0.01)
    attached: list[int | None] = []
    async with (
        foreign_server(LITELLM | {"/metrics": (200, {})}, key="k") as foreign,
        httpx2.AsyncClient(trust_env=False) as http,
    ):
        monkeypatch.setenv("LL_KEY", "k")
        directory = Directory()
        directory.apply_snapshot(Snapshot(epoch="e", version=1, workers=(record(foreign.url),)))
        static = StaticModel(name="dolly", url=foreign.url, key_env="LL_KEY")
        tasks = [
            asyncio.create_task(probe_workers(directory, http)),
            asyncio.create_task(watch_static(directory, [static], http)),
            asyncio.create_task(
                watch_attached(
                    AttachedEngine(foreign.url, "k"),
                    ["dolly"],
                    lambda listed: attached.append(listed["dolly"].context_length),
                    lambda load: None,
                    lambda why: pytest.fail(why),
                )
            ),
        ]
        await call_back(Registration.model_validate(record(foreign.url).model_dump()), PRIVATE_NETWORKS)
        async with asyncio.timeout(20):
            while foreign.calls["/v1/models"] < 40 or not attached:
                await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert dict(foreign.calls) == {"/v1/models": foreign.calls["/v1/models"]}
    assert directory.workers["attached"].state == "ready"


async def test_a_gateway_alone_goes_on_with_a_server_that_has_no_health_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server.upstreams.probe, "EVERY_S", 0.01)
    directory = Directory()
    async with foreign_server(OLLAMA, key="k") as foreign, httpx2.AsyncClient(trust_env=False) as http:
        dead = record("http://127.0.0.1:9", name="dead")
        directory.apply_snapshot(Snapshot(epoch="e", version=1, workers=(record(foreign.url), dead)))
        probing = asyncio.create_task(probe_workers(directory, http))
        async with asyncio.timeout(20):
            while directory.workers["dead"].state == "ready" or foreign.calls["/v1/models"] < 9:
                await asyncio.sleep(0.01)
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)
    assert [up.id for up in candidates(directory, "dolly")] == ["attached"]
