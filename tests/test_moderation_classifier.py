"""A classifier on vLLM answers OpenAI's `POST /v1/moderations`."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from moderation.classes import OPENAI_CATEGORIES
from moderation.labels import is_clean, openai_category
from moderation.vllm_classifier import (
    SETTINGS_VARIABLE,
    VLLM_KEY_VARIABLE,
    ClassifierLabels,
    ModerationByClassifier,
)
from worker.classifier import labels_of, moderation_environment, moderation_flags

KEY = {"authorization": "Bearer engine-key"}
LABELS = ("clean", "악플/욕설", "종교", "spam")
SCORES = {"욕": [0.1, 0.9, 0.2, 0.0], "신": [0.3, 0.1, 0.6, 0.0], "광": [0.2, 0.0, 0.0, 0.8]}
seen: list[Any] = []


async def classify(request: Request) -> Response:
    """As vLLM's: a row of scores for each text."""
    asked = await request.json()
    seen.append(asked)
    gone = asyncio.ensure_future(request.receive())  # as vLLM watches for the client's end
    await asyncio.wait([gone], timeout=0)
    assert not gone.done()
    gone.cancel()
    if asked.get("model") == "gone":
        return JSONResponse({"error": {"message": "The model `gone` does not exist."}}, 404)
    rows = [SCORES.get(text[0], [0.9, 0.0, 0.0, 0.0]) for text in asked["input"]]
    data = [{"index": n, "label": "x", "probs": row, "num_classes": 4} for n, row in enumerate(rows)]
    return JSONResponse({"object": "list", "model": asked.get("model", "bert"), "data": data})


Ask = Callable[..., Any]


@pytest.fixture(params=[False, True], ids=["one label", "several"])
def several(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def ask(several: bool, monkeypatch: pytest.MonkeyPatch) -> Ask:
    told = msgspec.json.encode(ClassifierLabels(LABELS, several)).decode()
    monkeypatch.setenv(SETTINGS_VARIABLE, told)
    monkeypatch.setenv(VLLM_KEY_VARIABLE, "engine-key")
    inner = Starlette(routes=[Route("/classify", classify, methods=["POST"])])
    app: Any = ModerationByClassifier(inner)

    async def asked(given: Any, headers: Any = KEY, **fields: Any) -> Any:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://vllm") as made:
            return await made.post("/v1/moderations", json={"input": given} | fields, headers=headers)

    return asked


async def test_labels_become_categories_and_keep_their_names(ask: Ask) -> None:
    answer = (await ask(["욕이다.", "안녕하세요."], model="bert")).json()
    bad, good = answer["results"]
    assert answer["model"] == "bert"
    assert (bad["flagged"], good["flagged"]) == (True, False)
    for field in ("categories", "category_scores", "category_applied_input_types"):
        assert bad[field].keys() == {*OPENAI_CATEGORIES, "악플/욕설", "종교", "spam"}, field
    assert bad["categories"]["harassment"] is bad["categories"]["악플/욕설"] is True
    assert bad["category_scores"]["harassment"] == 0.9
    assert bad["category_applied_input_types"]["hate"] == ["text"]
    assert bad["category_applied_input_types"]["self-harm"] == []
    assert not any(good["categories"].values())


async def test_the_worst_sentence_of_a_text_counts(ask: Ask) -> None:
    (result,) = (await ask("안녕하세요. 신을 욕한다. 광고이다. 안녕히.")).json()["results"]
    assert [name for name, reached in result["categories"].items() if reached] == ["hate", "종교", "spam"]
    assert seen[-1]["input"] == ["안녕하세요.", "신을 욕한다.", "광고이다.", "안녕히."]
    (empty,) = (await ask("")).json()["results"]
    assert empty["flagged"] is False


async def test_what_is_refused_is_told(ask: Ask) -> None:
    wrong = await ask("글", headers={"authorization": "Bearer other"})
    assert wrong.status_code == 401
    gone = await ask("글", model="gone")
    assert (gone.status_code, gone.json()["error"]["message"]) == (400, "The model `gone` does not exist.")
    picture = await ask([{"type": "image_url", "image_url": {"url": "http://a"}}])
    assert picture.status_code == 400
    other = await ask([1, 2])
    assert other.status_code == 400


def written(directory: Path, **config: Any) -> Path:
    known = {"architectures": ["BertForSequenceClassification"], "id2label": dict(enumerate(LABELS))}
    (directory / "config.json").write_text(json.dumps(known | config), encoding="utf-8")
    return directory


def test_a_worker_gives_it_to_classifiers_whose_labels_say_something(tmp_path: Path) -> None:
    kept = written(tmp_path, problem_type="multi_label_classification")
    assert labels_of(kept, []) == ClassifierLabels(LABELS, several=True)
    name = f"{ModerationByClassifier.__module__}.{ModerationByClassifier.__name__}"
    assert moderation_flags(kept, []) == ["--middleware", name]
    told = moderation_environment(kept, [])[SETTINGS_VARIABLE]
    assert msgspec.json.decode(told, type=ClassifierLabels).names == LABELS
    moods = {"id2label": {"0": "positive", "1": "negative", "2": "neutral"}}
    for other in (moods, {"id2label": {"0": "score"}}, {"architectures": ["LlamaForCausalLM"]}):
        assert moderation_flags(written(tmp_path, **other), []) == []
    assert labels_of(tmp_path / "none", []) is None


@pytest.mark.parametrize(
    ("label", "category"),
    [("HATE", "hate"), ("CRIME", "illicit"), ("Hate Speech", "hate"), ("욕설", "harassment"), ("spam", None)],
)
def test_known_labels_have_a_category(label: str, category: str | None) -> None:
    assert openai_category(label) == category
    assert not is_clean(label)
