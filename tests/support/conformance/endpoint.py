"""What the checks run against: any base URL, and what is known of the model and the engine behind it."""

import base64
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import httpx2
import openai
import pytest

from tests.support.conformance.wire import Event, parse_events
from tests.support.processes import wait_for

if TYPE_CHECKING:
    import anthropic

    from tests.support.conformance.differential import Service

CAPABILITIES = (
    "chat",
    "completions",
    "choices",
    "echo",
    "token-prompts",
    "tools",
    "logprobs",
    "structured",
    "reasoning",
    "embeddings",
    "dimensions",
    "score",
    "rerank",
    "pooling",
    "classify",
    "tokenize",
    "audio",
    "responses",
    "stored-responses",
    "messages",
    "cors",
)
"""What a model or its engine may be without; `--expect-no` takes these names."""


@cache
def tls() -> ssl.SSLContext:
    """One for all clients: making one takes longer than most checks."""
    return ssl.create_default_context()


QUESTION: list[Any] = [{"role": "user", "content": "토큰이 무엇인가요?"}]
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Streamed:
    """A streamed answer."""

    status: int
    headers: httpx2.Headers
    body: bytes

    def events(self) -> list[Event]:
        """Its events, [DONE] included."""
        return parse_events(self.body)

    def chunks(self) -> list[dict[str, Any]]:
        """The JSON of its events, without the [DONE] that must end it."""
        *events, done = self.events()
        assert done.data == "[DONE]", f"the stream does not end with [DONE] but with {done.data[:200]}"
        return [event.json() for event in events]


@dataclass(frozen=True)
class Engine:
    """A scripted engine behind the endpoint, which the checks can make fail and look into."""

    url: str

    def model(self) -> str:
        """The model it serves."""
        answer = httpx2.get(f"{self.url}/v1/models", verify=tls(), trust_env=False).raise_for_status()
        return str(answer.json()["data"][0]["id"])

    def script(self, mode: str = "ok", **settings: Any) -> None:
        """How it treats the next requests."""
        answer = httpx2.post(
            f"{self.url}/_script", json={"mode": mode} | settings, verify=tls(), trust_env=False
        )
        answer.raise_for_status()

    def release(self) -> None:
        """Let what stalls go on."""
        httpx2.post(f"{self.url}/_script/release", verify=tls(), trust_env=False)

    def replay(self, stream: bytes, **settings: Any) -> None:
        """Let it answer the next requests with this event stream."""
        self.script("replay", replay=base64.b64encode(stream).decode("ascii"), **settings)

    def running(self) -> int:
        """How many requests it works on."""
        return int(httpx2.get(f"{self.url}/_script/log", verify=tls(), trust_env=False).json()["running"])

    def last(self) -> "Received":
        """The last request that reached it."""
        seen = httpx2.get(f"{self.url}/_script/last", verify=tls(), trust_env=False).json()
        if not seen:
            return Received("", "", "", [], b"", 0)
        headers = [(name.lower(), value) for name, value in seen["headers"]]
        body = base64.b64decode(seen["body"])
        return Received(seen["method"], seen["path"], seen["query"], headers, body, seen["at_ns"])

    def cancelled(self) -> int:
        """How many requests were left by whoever asked."""
        return int(httpx2.get(f"{self.url}/_script/log", verify=tls(), trust_env=False).json()["cancelled"])


@dataclass(frozen=True)
class Received:
    """A request as an engine got it."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes
    at_ns: int
    """When it came, in Unix nanoseconds."""

    def header(self, name: str) -> str | None:
        """The first header of that name."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass(frozen=True)
class Endpoint:
    """One OpenAI-compatible service."""

    base_url: str
    """With /v1."""
    model: str
    api_key: str = "none"
    kind: Literal["scripted", "vllm", "external"] = "external"
    model_embed: str | None = None
    model_adapter: str | None = None
    """A model tuned from `model`."""
    model_loading: str | None = None
    """A model that is known but not ready."""
    model_outside: str | None = None
    """A model of an external provider, which `outside` stands for."""
    outside: Engine | None = None
    alias: str | None = None
    """Another name of `model`."""
    limited_key: str | None = None
    """A key with a limit on requests and tokens."""
    restricted_key: str | None = None
    """A key that may not use `model`."""
    spent_key: str | None = None
    """A key whose budget is used up."""
    asks_for_keys: bool = False
    lacks: Mapping[str, str] = field(default_factory=dict)
    """Capability -> why the checks that need it do not apply."""
    engines: tuple[Engine, ...] = ()
    """Scripted engines behind it, all that serve `model`."""
    log: Path | None = None
    """Where the service logs."""
    hasty: str = ""
    restless: str = ""
    """URLs, with /v1, of the same service with little patience: for the first event, between two events."""
    faults: list[str] = field(default_factory=list)
    """What the engines were scripted to do since they were last healed."""
    direct: Mapping[str, "Service"] = field(default_factory=dict)
    """Model -> the engine that serves it."""

    @property
    def root(self) -> str:
        """The URL without /v1."""
        return self.base_url.removesuffix("/v1")

    def impatient(self, url: str) -> "Endpoint":
        """The service at `hasty` or `restless`; without one the check is not applicable."""
        if not url:
            pytest.skip("not applicable: how long this service waits is not known")
        return replace(self, base_url=url)

    def service(self) -> "Service":
        """The service as one side of a comparison (W28)."""
        from tests.support.conformance.differential import Service

        return Service(self.root, self.api_key)

    def path(self, path: str) -> str:
        """A path of the service as it stands in a request line."""
        return urlsplit(self.root).path + path

    def need(self, *capabilities: str) -> None:
        """Skip as not applicable what this model cannot do."""
        for capability in capabilities:
            assert capability in CAPABILITIES, capability
            if capability in self.lacks:
                pytest.skip(f"not applicable: {self.lacks[capability]}")

    def need_engine(self) -> Engine:
        """The scripted engine; without one the check is not applicable."""
        if not self.engines:
            pytest.skip("not applicable: it takes an engine that can be made to fail or looked into")
        return self.engines[0]

    def script(self, mode: str = "ok", **settings: Any) -> None:
        """Script every engine."""
        self.need_engine()
        self.faults.append(mode)
        for engine in self.engines:
            engine.script(mode, **settings)

    def replay(self, stream: bytes) -> None:
        """Let every engine answer the next requests with this event stream."""
        self.script("replay", replay=base64.b64encode(stream).decode("ascii"))

    def received(self) -> "Received":
        """The last request that reached any of the engines."""
        self.need_engine()
        return max((engine.last() for engine in self.engines), key=lambda seen: seen.at_ns)

    def heal(self) -> None:
        """Let engines behave, and wait until a service that turned away from them has come back."""
        for engine in self.engines:
            engine.script()
            engine.release()
        if self.faults:
            self.faults.clear()
            chat = self.chat(max_tokens=1)
            wait_for(lambda: self.send("/v1/chat/completions", chat).status_code == 200, 90, what="recovery")

    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"authorization": f"Bearer {self.api_key}", "content-type": "application/json"}

    def send(
        self,
        path: str,
        body: dict[str, Any] | bytes | None = None,
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """One request; `path` begins with / and stands under the root."""
        content = body if isinstance(body, bytes) or body is None else encoded(body)
        merged = {name: value for name, value in (self.headers() | dict(headers or {})).items() if value}
        with httpx2.Client(verify=tls(), trust_env=False, timeout=TIMEOUT_S) as client:
            return client.request(method, self.root + path, content=content, headers=merged)

    def stream(
        self, path: str, body: dict[str, Any], *, headers: Mapping[str, str] | None = None
    ) -> Streamed:
        """One streamed request, as the raw bytes of the body."""
        merged = self.headers() | {"accept-encoding": "identity"} | dict(headers or {})
        with httpx2.Client(verify=tls(), trust_env=False, timeout=TIMEOUT_S) as client:
            with client.stream("POST", self.root + path, content=encoded(body), headers=merged) as answer:
                return Streamed(answer.status_code, answer.headers, b"".join(answer.iter_raw()))

    def chat(self, **fields: Any) -> dict[str, Any]:
        """The body of a small chat request."""
        self.need("chat")
        return {"model": self.model, "messages": QUESTION, "max_tokens": 6, "temperature": 0} | fields

    def completion(self, **fields: Any) -> dict[str, Any]:
        """The body of a small completion request."""
        self.need("completions")
        return {"model": self.model, "prompt": "봄에는", "max_tokens": 6, "temperature": 0} | fields

    def openai(self, api_key: str | None = None) -> openai.OpenAI:
        """The official client, without retries: a failure must show."""
        return openai.OpenAI(
            base_url=self.base_url,
            api_key=api_key or self.api_key,
            max_retries=0,
            timeout=TIMEOUT_S,
            http_client=openai.DefaultHttpxClient(verify=tls(), trust_env=False),
        )

    def anthropic(self, api_key: str | None = None) -> "anthropic.Anthropic":
        """The official client, without retries. Imported here: it takes as long as a hundred tests."""
        import anthropic

        return anthropic.Anthropic(
            base_url=self.root,
            api_key=api_key or self.api_key,
            max_retries=0,
            timeout=TIMEOUT_S,
            http_client=anthropic.DefaultHttpxClient(verify=tls(), trust_env=False),
        )


def encoded(body: dict[str, Any]) -> bytes:
    """A body as clients send it, with readable Hangul."""
    return json.dumps(body, ensure_ascii=False).encode()


def error_of(answer: httpx2.Response | Streamed) -> dict[str, Any]:
    """The error object of a failed answer, checked for its shape (W13)."""
    content = answer.body if isinstance(answer, Streamed) else answer.content
    assert answer.headers["content-type"].startswith("application/json"), answer.headers["content-type"]
    body = json.loads(content)
    assert set(body) == {"error"}, body
    error = body["error"]
    assert isinstance(error, dict), body
    assert set(error) >= {"message", "type", "param", "code"}, error
    assert isinstance(error["message"], str)
    assert error["message"]
    assert isinstance(error["type"], str)
    for name in ("param", "code"):
        assert error[name] is None or isinstance(error[name], str), error
    found: dict[str, Any] = error
    return found
