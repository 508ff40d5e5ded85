"""A moderation model answers OpenAI's `POST /v1/moderations`."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from common.errors import UserError
from moderation.classes import CLASSES, OPENAI_CATEGORIES
from moderation.model import load_model
from moderation.service import ModerationService
from tests.support.moderation_data import CLEAN, ENDINGS, trained
from worker.moderation_model import describe_moderation

KEY = {"authorization": "Bearer engine-key"}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("moderation"))


@pytest.fixture
async def client(model_dir: Path) -> AsyncIterator[httpx2.AsyncClient]:
    app: Any = ModerationService(load_model(model_dir), ["guard", "omni"], "engine-key")
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://engine", headers=KEY) as made:
        yield made


async def moderated(client: httpx2.AsyncClient, given: Any) -> Any:
    answer = await client.post("/v1/moderations", json={"model": "omni", "input": given})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_all_categories_of_openai_and_the_seven_classes_are_answered(
    client: httpx2.AsyncClient,
) -> None:
    said = await moderated(client, f"글쎄 {ENDINGS['HATE']}")
    (result,) = said["results"]
    assert said["model"] == "omni"
    assert result["flagged"] is True
    for field in ("categories", "category_scores", "category_applied_input_types"):
        assert result[field].keys() == {*OPENAI_CATEGORIES, *CLASSES}, field
    assert result["categories"]["hate"] is result["categories"]["HATE"] is True
    assert result["category_scores"]["hate"] >= result["category_scores"]["HATE"] > 0.5
    assert result["category_levels"]["HATE"] in ("low", "medium", "high")
    assert result["category_applied_input_types"]["hate"] == ["text"]
    assert result["category_applied_input_types"]["self-harm"] == []  # of that it says nothing


async def test_strings_lists_and_parts_are_taken(client: httpx2.AsyncClient) -> None:
    bad = f"정말 {ENDINGS['ABUSE']}"
    flags = [one["flagged"] for one in (await moderated(client, [CLEAN[0], bad, ""]))["results"]]
    assert flags == [False, True, False]
    parts = [{"type": "text", "text": CLEAN[0]}, {"type": "text", "text": bad}]
    assert [one["flagged"] for one in (await moderated(client, parts))["results"]] == [True]
    long = f"{'. '.join(CLEAN * 50)}. {bad}."
    assert (await moderated(client, long))["results"][0]["flagged"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "not valid JSON"),
        (b"[]", 400, "not a JSON object"),
        (b'{"input": 5}', 400, "must be a string"),
        (b'{"input": []}', 400, "must be a string"),
        (b'{"input": ["a", 5]}', 400, "must hold strings"),
        (b'{"input": [{"type": "image_url", "image_url": {"url": "x"}}]}', 400, "reads text alone"),
        (b'{"input": "a", "model": "other"}', 404, "not served here"),
        (b'{"input": ' + json.dumps(["a"] * 2049).encode() + b"}", 400, "more than 2048"),
    ],
)
async def test_what_cannot_be_judged_is_refused_in_openais_shape(
    client: httpx2.AsyncClient, body: bytes, status: int, said: str
) -> None:
    answer = await client.post("/v1/moderations", content=body)
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]


async def test_it_answers_a_worker_as_an_engine_does(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/health", headers={"authorization": ""})).status_code == 200
    assert "moderation:requests_running 0" in (await client.get("/metrics")).text
    listed = (await client.get("/v1/models")).json()["data"]
    assert [one["id"] for one in listed] == ["guard", "omni"]
    assert (await client.get("/v1/models", headers={"authorization": "Bearer x"})).status_code == 401
    wrong = await client.post("/v1/chat/completions", json={})
    assert (wrong.status_code, "POST /v1/moderations" in wrong.text) == (404, True)


def test_a_worker_registers_it_as_what_it_is(model_dir: Path, tmp_path: Path) -> None:
    one, two = describe_moderation(model_dir, ["guard", "omni"])
    assert (one.name, two.name, one.kind, one.licence) == ("guard", "omni", "moderation", "test")
    assert one.checkpoint == two.checkpoint is not None
    assert describe_moderation(model_dir)[0].name == "small-moderation"
    with pytest.raises(UserError, match="no moderation model"):
        describe_moderation(tmp_path)
