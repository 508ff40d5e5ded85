"""W28 with requests nobody thought of: whatever a client asks, the gateway's answer is the engine's own.

The scripted engine always says the same to the same request, so events are compared as they come.
tests/conformance/test_differential.py does it with real vLLM and chosen requests.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.support.conformance.differential import unnamed
from tests.support.conformance.endpoint import Endpoint, encoded, tls
from tests.support.conformance.stacks import scripted_stack
from tests.support.conformance.wire import parse_events
from tests.support.processes import PATIENCE_S
from tests.support.scripted_manners import MANNERS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with scripted_stack(tmp_path_factory.mktemp("differential")) as started:
        yield started


TOOL = {"name": "f", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
COMMON: dict[str, st.SearchStrategy[Any]] = {
    "max_tokens": st.integers(1, 9),
    "temperature": st.sampled_from([0, 0.0, 1, 2, 3]),
    "n": st.integers(1, 3),
    "seed": st.integers(),
    "stop": st.sampled_from(["나", ["다", "라"], None]),
    "stream": st.sampled_from([True, True, True, False, None]),
    "stream_options": st.none()
    | st.fixed_dictionaries(
        {},
        optional={
            "include_usage": st.sampled_from([True, False, None]),
            "continuous_usage_stats": st.booleans(),
            "x_more": JSON,
        },
    ),
    "x_unknown": JSON,
    "usage": JSON,
}
CHAT = COMMON | {
    "max_completion_tokens": st.integers(1, 9),
    "logprobs": st.booleans(),
    "top_logprobs": st.integers(0, 2),
    "return_token_ids": st.booleans(),
    "tools": st.just([{"type": "function", "function": TOOL}]),
    "tool_choice": st.sampled_from(["none", "auto", "required"]),
    "chat_template_kwargs": st.just({"enable_thinking": True}),
}
COMPLETION = COMMON | {"echo": st.booleans(), "logprobs": st.integers(0, 2)}
REQUESTS = st.one_of(
    st.tuples(
        st.just("/v1/chat/completions"),
        st.fixed_dictionaries(
            {"messages": TEXT.map(lambda text: [{"role": "user", "content": text}])}, optional=CHAT
        ),
    ),
    st.tuples(
        st.just("/v1/completions"),
        st.fixed_dictionaries({"prompt": TEXT | st.lists(TEXT, min_size=1, max_size=3)}, optional=COMPLETION),
    ),
)


def answer(url: str, key: str, path: str, body: bytes) -> tuple[int, Any]:
    """Status and what a client reads: the events in their order, or the body."""
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    with httpx2.Client(verify=tls(), trust_env=False, timeout=PATIENCE_S) as client:
        got = client.post(url + path, content=body, headers=headers)
    if got.status_code >= 400:
        error = got.json()["error"]
        return got.status_code, (error["message"].split(".")[0], error["param"])
    if not got.headers["content-type"].startswith("text/event-stream"):
        return got.status_code, unnamed(got.json())
    events = [unnamed(event.json()) for event in parse_events(got.content)[:-1]]
    for event in events:
        event.pop("system_fingerprint", None)  # on the last event, which usage may or may not be
        if event.get("usage", 0) is None:
            del event["usage"]
        for name in [name for name, count in (event.get("usage") or {}).items() if count is None]:
            del event["usage"][name]
    return got.status_code, [*events, parse_events(got.content)[-1].data]


ALIKE = sorted(MANNERS.keys() - {"plain", "no usage"})


@pytest.mark.parametrize("manner", ALIKE)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(asked=REQUESTS)
def test_whatever_is_asked_and_however_it_is_written_the_answer_is_the_engines(
    endpoint: Endpoint, manner: str, asked: tuple[str, dict[str, Any]]
) -> None:
    path, fields = asked
    options = fields.get("stream_options") or {}
    if MANNERS[manner].usage != "as asked":  # such a server does not count at each event
        assume(not options.get("continuous_usage_stats"))
    body = encoded({"model": endpoint.model} | fields)
    endpoint.script()
    direct = answer(endpoint.direct[endpoint.model].url, "none", path, body)
    endpoint.script(manner=manner)
    through = answer(endpoint.root, endpoint.api_key, path, body)
    assert direct == through


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    asked=REQUESTS,
    separators=st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:")]),
    escape=st.booleans(),
)
def test_whatever_is_asked_the_engine_gets_it_byte_for_byte(
    endpoint: Endpoint, asked: tuple[str, dict[str, Any]], separators: tuple[str, str], escape: bool
) -> None:
    path, fields = asked
    fields = {name: value for name, value in fields.items() if name != "stream_options"}
    body = json.dumps(fields | {"model": endpoint.model}, ensure_ascii=escape, separators=separators).encode()
    answer(endpoint.root, endpoint.api_key, path, body)
    received = [engine.last() for engine in endpoint.engines]
    bodies = [each.body for each in received if each.path == path]
    plain = [got for got in bodies if got == body]
    spliced = [got for got in bodies if got.replace(_splice(got), b"", 1) == body]
    assert spliced if fields.get("stream") else plain


def _splice(body: bytes) -> bytes:
    """The stream_options that the gateway put in, with their comma."""
    start = body.find(b'"stream_options":')
    end = body.find(b"},", start) + 2
    return body[start:end] if start >= 0 else b"\x00"
