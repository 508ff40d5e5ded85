"""Embedding and rerank models behind the gateway: texts to vectors, and passages to scores.

Asked from threads, unlike the models that answer. A model that did not answer a search is left alone for some
seconds, so that a worker that restarts does not hold up each of them.
"""

import base64
import binascii
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import msgspec

from common.errors import ApiError, UpstreamFailed, UpstreamTimeout
from documents.search.vectors import QueryVector, VectorSource
from documents.service.gateway_client import CONNECT_S, failure
from documents.service.settings import DocumentsSettings

if TYPE_CHECKING:
    from documents.search.vectors import Floats

EMBEDDINGS, RERANK = "/v1/embeddings", "/v1/rerank"
CHECKPOINT_HEADER = "x-kodolly-checkpoint"
SEARCH_S = 5.0
"""Longest wait of a search for its question's vector, or for scores."""
BATCH_S = 300.0
"""Longest wait for the vectors of a batch of passages."""
LEFT_ALONE_S = 5.0
_TRUNCATED = {"truncate_prompt_tokens": -1}
"""vLLM's: a text that is longer than the model's context is cut, not refused."""


class _Vector(msgspec.Struct):
    index: int
    embedding: str | list[float]


class _Vectors(msgspec.Struct):
    data: list[_Vector]


class _Scored(msgspec.Struct):
    index: int
    relevance_score: float


class _Scores(msgspec.Struct):
    results: list[_Scored]


class PoolingModels:
    """Those that the settings name; `close` it."""

    def __init__(self, settings: DocumentsSettings) -> None:
        self._settings = settings
        self._url = settings.gateway_url.rstrip("/")
        headers = {"authorization": f"Bearer {settings.token.get_secret_value()}"}
        self._client = httpx2.Client(trust_env=False, headers=headers)
        self._lock = threading.Lock()
        self._failed: dict[str, tuple[float, str]] = {}
        """Model that did not answer a search -> until when it is left alone, and why."""

    def close(self) -> None:
        """Nothing may be asked afterwards."""
        self._client.close()

    def passages(self, texts: Sequence[str]) -> tuple["Floats", VectorSource]:
        """A vector of length 1 for each, and what they were made by. Raises ApiError."""
        prefix = self._settings.embedding_passage_prefix
        rows, source = self._embedded([prefix + text for text in texts], BATCH_S)
        with self._lock:
            self._failed.pop(EMBEDDINGS, None)
        return rows, source

    def questions(self, texts: Sequence[str], wait_s: float = SEARCH_S) -> list[QueryVector]:
        """A vector for each question. Raises ApiError, at once where the model did not answer a moment
        ago."""
        prefix = self._settings.embedding_query_prefix
        with self._tried(EMBEDDINGS):
            rows, source = self._embedded([prefix + text for text in texts], wait_s)
        return [QueryVector(row, source) for row in rows]

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """How well each text answers the question, by the rerank model. Raises ApiError, as `questions`."""
        body = {"model": self._settings.rerank_model, "query": question, "documents": list(texts)}
        with self._tried(RERANK):
            answer = self._asked(RERANK, body, SEARCH_S)
            try:
                results = msgspec.json.decode(answer.content, type=_Scores).results
            except msgspec.MsgspecError as error:
                raise UpstreamFailed("The rerank model gave no scores.") from error
            by_index = {one.index: one.relevance_score for one in results}
            if by_index.keys() != set(range(len(texts))):
                raise UpstreamFailed("The rerank model did not score every passage.")
        return [by_index[at] for at in range(len(texts))]

    @contextmanager
    def _tried(self, path: str) -> Iterator[None]:
        """One request made during a search: once it fails, those that follow within some seconds fail at
        once."""
        with self._lock:
            until, why = self._failed.get(path, (0.0, ""))
        if time.monotonic() < until:
            raise UpstreamFailed(why)
        try:
            yield
        except ApiError as error:
            with self._lock:
                self._failed[path] = (time.monotonic() + LEFT_ALONE_S, str(error))
            raise
        with self._lock:
            self._failed.pop(path, None)

    def _embedded(self, texts: Sequence[str], wait_s: float) -> tuple["Floats", VectorSource]:
        model = self._settings.embedding_model or ""
        body = {"model": model, "input": list(texts), "encoding_format": "base64"}
        answer = self._asked(EMBEDDINGS, body, wait_s)
        try:
            data = msgspec.json.decode(answer.content, type=_Vectors).data
            rows = _rows(data, len(texts))
        except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
            raise UpstreamFailed("The embedding model gave no vectors that can be used.") from error
        checkpoint = answer.headers.get(CHECKPOINT_HEADER, "")
        prefix = self._settings.embedding_passage_prefix
        return rows, VectorSource(model, checkpoint, prefix, rows.shape[1])

    def _asked(self, path: str, body: dict[str, Any], wait_s: float) -> httpx2.Response:
        answer = self._answer(path, body | _TRUNCATED, wait_s)
        if answer.status_code == 400 and b"truncate_prompt_tokens" in answer.content:
            answer = self._answer(path, body, wait_s)  # a provider that does not know the word
        if answer.status_code >= 400:
            raise failure(answer.status_code, answer.content)
        return answer

    def _answer(self, path: str, body: dict[str, Any], wait_s: float) -> httpx2.Response:
        try:
            return self._client.post(
                self._url + path, json=body, timeout=httpx2.Timeout(wait_s, connect=CONNECT_S)
            )
        except httpx2.TimeoutException as error:
            raise UpstreamTimeout(f"{body['model']} has not answered within {wait_s:.0f} s.") from error
        except httpx2.HTTPError as error:
            raise UpstreamFailed(
                "The documents service cannot reach its gateway.", hint="Check documents.gateway_url."
            ) from error


def _rows(data: Sequence[_Vector], count: int) -> "Floats":
    """In the order of what was asked, each of length 1; one of zeros stays so. Raises ValueError."""
    import numpy as np

    if [one.index for one in sorted(data, key=lambda one: one.index)] != list(range(count)):
        raise ValueError("not a vector for each text")
    rows = np.stack([_floats(one.embedding) for one in sorted(data, key=lambda one: one.index)])
    if not rows.shape[1] or not np.isfinite(rows).all():
        raise ValueError("a vector that is none")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    made: Floats = (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return made


def _floats(given: str | list[float]) -> "Floats":
    import numpy as np

    if isinstance(given, list):
        return np.asarray(given, np.float32)
    return np.frombuffer(base64.b64decode(given, validate=True), "<f4").astype(np.float32, copy=False)
