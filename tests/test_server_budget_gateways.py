"""One key's budget at two whole gateways that share a store: SQLite, and a real PostgreSQL server."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.gateway_stack import create_key
from tests.support.load import new_client
from tests.support.postgres import binaries, postgres
from tests.support.processes import free_port, kodolly, running, scripted_engine, wait_for

NO_POSTGRES = pytest.mark.skipif(
    binaries() is None, reason="PostgreSQL is not installed: apt install postgresql"
)


@dataclass(frozen=True)
class TwoGateways:
    urls: list[str]
    env: dict[str, str]
    cwd: Path

    def new_key(self, budget: int) -> str:
        """The secret of a key that both know."""
        secret = create_key(self.env, self.cwd, "--budget-tokens", str(budget))
        for url in self.urls:
            # Until it knows of a first key, a gateway asks for none and counts nothing for any.
            wait_for(lambda url=url: self.usage(url, "sk-kodolly-of-nobody") is None, 20, what="any key")  # type: ignore[misc]
            wait_for(lambda url=url: self.usage(url, secret) == [], 20, what="the key")  # type: ignore[misc]
        return secret

    def usage(self, url: str, secret: str) -> Any:
        answer = httpx2.get(f"{url}/v1/usage", headers=bearer(secret), trust_env=False)
        return answer.json().get("data")

    def tokens(self, secret: str) -> int:
        rows = self.usage(self.urls[0], secret)
        return sum(row["prompt_tokens"] + row["completion_tokens"] for row in rows)

    def ask_at_once(self, secret: str, count: int, first: int = 0, **fields: Any) -> list[httpx2.Response]:
        """So many requests, by turns at each gateway."""

        async def run() -> list[httpx2.Response]:
            async with new_client(count) as client:
                client.headers.update(bearer(secret))
                body = {"model": "dolly", "messages": [{"role": "user", "content": "가"}]} | fields
                asked = (
                    client.post(f"{self.urls[(first + number) % 2]}/v1/chat/completions", json=body)
                    for number in range(count)
                )
                return list(await asyncio.gather(*asked))

        return asyncio.run(run())


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.slow, NO_POSTGRES])]
)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoGateways]:
    cwd = tmp_path_factory.mktemp("budget")
    with ExitStack() as stack:
        url = f"sqlite:///{cwd / 'kodolly.db'}"
        if request.param == "postgresql":
            url = stack.enter_context(postgres(tmp_path_factory.mktemp("postgres")))
        engine = stack.enter_context(scripted_engine(cwd, "dolly"))
        env = {"KODOLLY_STATE_DIR": str(cwd / "state"), "KODOLLY_GATEWAY_DATABASE_URL": url}
        urls = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]
        for number, gateway in enumerate(urls):
            argv = kodolly("gateway", "--port", gateway.rpartition(":")[2], "--static", f"dolly={engine}")
            own = env | {"KODOLLY_STATE_DIR": str(cwd / f"state-{number}")}
            stack.enter_context(running(argv, cwd / f"{number}.log", f"{gateway}/healthz", own, cwd))
        yield TwoGateways(urls, env, cwd)


TOKENS = 13
"""Of one answer of eight tokens at the scripted engine, which counts five for the prompt."""


def test_thirty_requests_at_once_spend_no_more_than_the_budget(site: TwoGateways) -> None:
    secret = site.new_key(100)
    admitted = 0
    for _ in range(2):
        statuses = Counter(answer.status_code for answer in site.ask_at_once(secret, 30, max_tokens=8))
        print(f"\n30 requests at once at two gateways, budget 100: {dict(statuses)}")
        assert set(statuses) <= {200, 429}
        admitted += statuses[200]
    assert 3 <= admitted <= 100 // TOKENS
    wait_for(lambda: site.tokens(secret) == admitted * TOKENS, 20, what="the ledger")


def test_one_request_of_many_gets_a_budget_that_is_too_small_for_any(site: TwoGateways) -> None:
    secret = site.new_key(100)
    answers = site.ask_at_once(secret, 30, max_tokens=100)
    assert Counter(answer.status_code for answer in answers) == {200: 1, 429: 29}
    wait_for(lambda: site.tokens(secret) == 105, 20, what="the ledger")
    for refused in site.ask_at_once(secret, 2, max_tokens=1):
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "insufficient_quota"


def test_a_request_that_fits_is_not_refused_for_what_the_other_gateway_holds_idle(site: TwoGateways) -> None:
    secret = site.new_key(2000)
    (small,) = site.ask_at_once(secret, 1, max_tokens=8)
    (large,) = site.ask_at_once(secret, 1, first=1, max_tokens=1900)
    assert (small.status_code, large.status_code) == (200, 200), large.text
