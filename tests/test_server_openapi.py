"""The OpenAPI document describes every route, and what is made from it never hurts the gateway.

KODOLLY_SCHEMATHESIS_CASES changes the number of cases for each operation and kind.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from server.app import create_app
from server.client.routes import ROUTES
from server.settings import GatewaySettings
from tests.support.leaks import INSIDE
from tests.support.processes import free_port, kodolly, running, scripted_engine, wait_for

CASES = int(os.environ.get("KODOLLY_SCHEMATHESIS_CASES", "12"))
KEY = "secret-key"


@dataclass(frozen=True)
class Stack:
    url: str
    log: Path


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    tmp = tmp_path_factory.mktemp("openapi")
    url = f"http://127.0.0.1:{free_port()}"
    env = {
        "KODOLLY_STATE_DIR": str(tmp / "state"),
        "KODOLLY_API_KEYS": f'["{KEY}"]',
        "KODOLLY_ADMIN_TOKEN": KEY,
        "KODOLLY_GATEWAY_ACCESS_LOG": "false",
    }
    with ExitStack() as started:
        engine = started.enter_context(scripted_engine(tmp, "dolly"))
        argv = kodolly("gateway", "--port", url.rpartition(":")[2], "--static", f"dolly={engine}")
        log = tmp / "gateway.log"
        started.enter_context(running(argv, log, f"{url}/healthz", env, tmp))
        yield Stack(url, log)


@pytest.mark.slow
def test_every_relayed_route_is_described_and_the_page_shows_them(stack: Stack) -> None:
    document = httpx2.get(f"{stack.url}/openapi.json", trust_env=False).json()
    assert set(ROUTES) <= set(document["paths"])
    chat = document["paths"]["/v1/chat/completions"]["post"]
    schema = chat["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["model", "messages"]
    assert chat["security"] == [{"key": []}]
    assert httpx2.get(f"{stack.url}/openapi.json", trust_env=False).json() == document
    assert create_app(GatewaySettings(controllers=())) is not create_app(GatewaySettings(controllers=()))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["positive", "negative"])
def test_nothing_made_from_the_document_is_a_server_error(stack: Stack, kind: str) -> None:
    import schemathesis
    from schemathesis.core.result import Ok  # slow to import, and the fast tests collect this file, too

    mode = schemathesis.GenerationMode(kind)
    statuses: Counter[int] = Counter()
    bad: list[str] = []
    document = httpx2.get(f"{stack.url}/openapi.json", trust_env=False).json()
    for path in ROUTES:
        for content in document["paths"][path]["post"]["requestBody"]["content"].values():
            content["schema"]["properties"]["model"] = {"enum": ["dolly"]}
    schema = schemathesis.openapi.from_dict(document)
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def try_case(case: "schemathesis.Case[Any]") -> None:
            answer = case.call(base_url=stack.url, headers={"authorization": f"Bearer {KEY}"}, timeout=30)
            statuses[answer.status_code] += 1
            sent = answer.request.body or b""
            assert isinstance(sent, bytes)
            shown = INSIDE.search(answer.content) if answer.status_code >= 400 else None
            # This gateway has no documents service, and says so; the service's own tests ask its routes.
            failed = answer.status_code >= 500 and b'"documents_not_configured"' not in answer.content
            if failed or (shown and shown.group() not in (sent + case.path.encode())):
                bad.append(f"{case.as_curl_command()[:600]} -> {answer.content[:300]!r}")

        with contextlib.suppress(Unsatisfiable):  # an operation without parameters cannot be asked wrongly
            try_case()
    print(f"\n{kind} cases from the OpenAPI document: {dict(sorted(statuses.items()))}")
    assert not bad, bad[:5]
    assert sum(statuses.values()) > 100
    key = {"authorization": f"Bearer {KEY}"}
    wait_for(lambda: httpx2.get(f"{stack.url}/v1/models", headers=key, trust_env=False).status_code == 200, 5)
    assert "Traceback" not in stack.log.read_text(encoding="utf-8")
