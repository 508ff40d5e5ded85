"""The documents service with an embedding and a rerank model behind a real gateway, in this process."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from common.documents_service import OWNER_HEADER
from common.registry import ModelCard
from documents.search import store as store_module
from documents.service import app as app_module
from documents.service import pooling
from documents.service.app import create_app
from documents.service.service import Service
from documents.service.settings import DocumentsSettings
from tests.support.processes import PATIENCE_S, wait_for
from tests.support.stack_in_process import InProcess, Worker, in_process

TOKEN = "documents-token"
HEADERS = {"authorization": f"Bearer {TOKEN}", OWNER_HEADER: "key-1"}
TEXTS = tuple(
    f"# {text[:2]}\n\n{text}"
    for text in ("연차휴가는 15일로 한다.", "경조금은 한 달 안에 청구한다.", "출장비는 닷새 안에 정산한다.")
)
PASSAGES = tuple(text.removeprefix("# ") for text in TEXTS)
CARD = ModelCard(name="embed", kind="embedding", checkpoint="0123456789ab")


@dataclass
class Stage:
    """The service, and the worker of its models."""

    client: TestClient
    gateway: InProcess
    worker: Worker
    store: str

    def search(self, question: str) -> Any:
        """What a search of the store answers."""
        body = {"query": question, "max_num_results": 2}
        return self.client.post(f"/v1/vector_stores/{self.store}/search", json=body).raise_for_status().json()

    @property
    def service(self) -> Service:
        service: Service = self.client.app.state.service  # type: ignore[attr-defined]
        return service

    def vectors(self) -> tuple[int, int]:
        """Chunks with a vector, and all of them."""
        if not self.service.storage.has(self.store):
            return 0, 0
        with self.service.storage.open(self.store) as store:
            return store.vectors.counts()

    def embedded(self) -> bool:
        """Whether every chunk has a vector; if not, the embedder looks again."""
        if self.vectors() == (len(TEXTS), len(TEXTS)):
            return True
        self.service.embedder.wake()
        return False


def words(texts: Sequence[str]) -> list[list[str]]:
    """Terms that are plain words."""
    return [text.split() for text in texts]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    cwd = tmp_path_factory.mktemp("hybrid")
    settings: dict[str, Any] = {"token": TOKEN, "state_dir": cwd / "documents", "embedding_model": "embed"}
    settings |= {"embedding_query_prefix": "물음: ", "embedding_passage_prefix": "물음: "}
    with pytest.MonkeyPatch.context() as patch, gateway_with_documents(cwd) as gateway:
        patch.setattr(store_module, "terms_of", words)
        patch.setattr(pooling, "LEFT_ALONE_S", 0.0)
        patch.setattr(app_module, "kiwi_in_a_child", nullcontext)
        worker = gateway.worker("worker-1", CARD)
        settings |= {"gateway_url": gateway.gateway, "rerank_model": "embed"}
        with TestClient(create_app(DocumentsSettings(**settings)), headers=HEADERS) as client:
            made = client.post("/v1/vector_stores", json={"name": "handbook"}).raise_for_status().json()
            stage = Stage(client, gateway, worker, made["id"])
            upload(stage, "\n\n".join(TEXTS))
            wait_for(stage.embedded, PATIENCE_S, what="the vectors")
            yield stage


def gateway_with_documents(cwd: Path) -> Any:
    """It takes the token that it shares with the service."""
    return in_process(cwd, documents_token=TOKEN, documents_url="http://127.0.0.1:1")


def upload(stage: Stage, text: str) -> None:
    sent = stage.client.post(
        "/v1/files", files={"file": ("규정.md", text.encode())}, data={"purpose": "assistants"}
    )
    made = sent.raise_for_status().json()
    path = f"/v1/vector_stores/{stage.store}/files"
    stage.client.post(path, json={"file_id": made["id"]}).raise_for_status()


def test_an_answer_says_by_what_it_was_ranked(stage: Stage) -> None:
    found = stage.search(PASSAGES[1])
    assert (found["ranked_by"], found["missing"]) == (["words", "vectors", "rerank"], [])
    first = found["data"][0]
    assert first["content"][0]["text"] == PASSAGES[1]
    assert first["similarity"] == pytest.approx(1, abs=1e-3)  # with heading and prefix it is the same text
    assert len(found["data"]) == 2
    near = stage.search("낱말도 아닌 것")  # no word of it is in the store
    assert len(near["data"]) == 2


def test_a_search_goes_on_by_words_while_the_worker_is_away(stage: Stage) -> None:
    stage.worker.says("down")
    wait_for(lambda: not stage.gateway.is_ready("embed"), PATIENCE_S)
    try:
        found = stage.search(PASSAGES[1])
        assert [one["content"][0]["text"] for one in found["data"]] == [PASSAGES[1], PASSAGES[2]]
        assert found["ranked_by"] == ["words"]
        assert [one["signal"] for one in found["missing"]] == ["vectors", "rerank"]
        assert all("embed" in one["reason"] for one in found["missing"])
    finally:
        stage.worker.says("ready")
        wait_for(lambda: stage.gateway.is_ready("embed"), PATIENCE_S)
    assert stage.search(PASSAGES[1])["ranked_by"] == ["words", "vectors", "rerank"]


def test_vectors_of_another_checkpoint_are_made_anew(stage: Stage) -> None:
    stage.worker.member.registration = stage.worker.member.registration.model_copy(
        update={"models": (CARD.model_copy(update={"checkpoint": "ba9876543210"}),)}
    )
    stage.worker.says("ready")
    wait_for(lambda: checkpoint(stage) == "ba9876543210", PATIENCE_S)

    def renewed() -> bool:
        found = stage.search(PASSAGES[0])
        assert found["data"][0]["content"][0]["text"] == PASSAGES[0]
        assert ("vectors" in found["ranked_by"]) != bool(found["missing"])
        return "vectors" in found["ranked_by"] and stage.vectors() == (3, 3)

    wait_for(renewed, PATIENCE_S, what="the new vectors")
    with stage.service.storage.open(stage.store) as store:
        source = store.vectors.source()
    assert source is not None
    assert (source.model, source.checkpoint) == ("embed", "ba9876543210")


def checkpoint(stage: Stage) -> str:
    answer = stage.gateway.post("/v1/embeddings", {"model": "embed", "input": "안녕"})
    return str(answer.headers.get("x-kodolly-checkpoint"))
