"""What is asked of an engine: does it serve these models, and is it well. Everybody asks here.

Any OpenAI-compatible server is looked at through `GET /v1/models` alone. `GET /health` is vLLM's convention,
not OpenAI's: a LiteLLM proxy answers it by having every model of it write a text, which costs money
(https://docs.litellm.ai/docs/proxy/health). So it is asked only of engines known to answer it for nothing,
and without the key. That an engine has no such page says nothing about its health.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

ANSWER_LIMIT_S = 5.0
"""Longest wait for an answer: a busy engine answers slowly."""
ANSWER_BYTES = 1024 * 1024
"""Largest list of models that is read."""
ENGINES = frozenset({"vllm", "sglang", "llamacpp"})
"""`owned_by` of the models of engines whose /health and /metrics cost nothing."""
ILL = range(500, 600)
"""Statuses of /health that say the engine is broken; a page that is missing or guarded says nothing."""
NOT_IMPLEMENTED = 501
LENGTHS = ("max_model_len", "context_length", "context_window", "max_context_length", "n_ctx")
"""What servers call the context length of a model: vLLM and SGLang, OpenRouter, Groq, Mistral, llama.cpp."""
QUOTED = 200
"""Characters of a server's own words that are passed on."""


@dataclass(frozen=True, slots=True)
class ListedModel:
    """An entry of a server's list of models."""

    name: str
    owned_by: str = ""
    context_length: int | None = None
    """Tokens, prompt and answer together."""

    @property
    def by_engine(self) -> bool:
        """Whether an engine says so that answers /health and /metrics for nothing."""
        return self.owned_by in ENGINES


class NotServing(Exception):
    """The engine is not there, not well, or lacks a model; the message says which, without its address."""


class Ill(NotServing):
    """Its /health says that it is not well."""

    def __init__(self, status: int) -> None:
        super().__init__(f"its /health answers {status}")
        self.status = status


class KeyRefused(NotServing):
    """It asks for another key, or for one at all."""


class Silent(NotServing):
    """It did not answer in time: busy, or hanging."""


class ModelMissing(NotServing):
    """It answers, and does not serve a model that was asked for."""

    def __init__(self, missing: str, listed: Sequence[str]) -> None:
        super().__init__(f"it does not serve {missing!r}")
        self.listed = tuple(listed)


def bearer(key: str) -> dict[str, str]:
    """The header that carries an engine's key; none when it asks for none."""
    return {"authorization": f"Bearer {key}"} if key else {}


async def check_serving(
    client: httpx2.AsyncClient, url: str, key: str, models: Sequence[str]
) -> Mapping[str, ListedModel]:
    """Everything that the engine at `url` lists, if it is well and serves `models`. Raises NotServing.

    `client` must not send a key of its own.
    """
    listed = await list_models(client, url, key)
    if missing := [name for name in models if name not in listed]:
        raise ModelMissing(missing[0], sorted(listed))
    if any(model.by_engine for model in listed.values()):
        await check_health(client, url)
    return listed


async def list_models(
    client: httpx2.AsyncClient,
    url: str,
    key: str,
    *,
    headers: Mapping[str, str] | None = None,
    extensions: Mapping[str, Any] | None = None,
) -> dict[str, ListedModel]:
    """Model name -> entry of GET /v1/models. Raises NotServing. Redirects are not followed."""
    sent = bearer(key) | dict(headers or {})
    try:
        async with client.stream(
            "GET",
            f"{url}/v1/models",
            headers=sent,
            timeout=ANSWER_LIMIT_S,
            follow_redirects=False,
            extensions=dict(extensions or {}),
        ) as answer:
            body = b""
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > ANSWER_BYTES:
                    raise NotServing("its /v1/models is not a list of models")
    except httpx2.TimeoutException as error:
        raise Silent("it does not answer in time") from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise NotServing("nothing answers at its address") from error
    if answer.status_code in (401, 403):
        raise KeyRefused("it refuses its key" if key else "it asks for a key")
    if answer.status_code != 200:
        raise NotServing(f"its /v1/models answers {answer.status_code}{_own_words(body)}")
    return _entries(body)


async def check_health(client: httpx2.AsyncClient, url: str) -> None:
    """Ask /health of an engine known to answer it for nothing. Raises NotServing (Ill if it says so)."""
    try:
        answer = await client.get(f"{url}/health", timeout=ANSWER_LIMIT_S, follow_redirects=False)
    except httpx2.TimeoutException as error:
        raise Silent("it does not answer in time") from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise NotServing("nothing answers at its address") from error
    if answer.status_code in ILL and answer.status_code != NOT_IMPLEMENTED:
        raise Ill(answer.status_code)


def _entries(body: bytes) -> dict[str, ListedModel]:
    try:
        entries = [(str(entry["id"]), entry) for entry in json.loads(body)["data"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise NotServing("its /v1/models is not a list of models") from error
    return {
        name: ListedModel(name, str(entry.get("owned_by", "")), _length(entry)) for name, entry in entries
    }


def _length(entry: Mapping[str, Any]) -> int | None:
    meta = entry.get("meta")
    for fields in (entry, meta if isinstance(meta, dict) else {}):
        for name in LENGTHS:
            value = fields.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
    return None


def _own_words(body: bytes) -> str:
    """What the server says of its refusal, in one line; "" when it does not."""
    try:
        error = json.loads(body)["error"]
        said = str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    said = "".join(c if c.isprintable() else " " for c in said[: QUOTED + 1]).strip()
    return f": {said[:QUOTED]}" if said else ""
