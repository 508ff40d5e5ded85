"""Keys, limits and the ledger on SQLite and on a real PostgreSQL, also from several gateways at once."""

import asyncio
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from common.database import Database, StoreFailed
from common.errors import InvalidApiKey, PermissionDenied, RateLimited
from server.accounts.accounts import Accounts
from server.accounts.keys import ANONYMOUS, Key, KeyStore, new_key_id
from server.accounts.ledger import Entry, Ledger, UsageReport
from server.accounts.meter import Grant
from server.record import Usage
from server.store.opening import GatewayStore, open_store
from server.store.tables import usage_batches
from tests.support.gateway_stack import create_key
from tests.support.load import new_client
from tests.support.postgres import binaries, postgres
from tests.support.processes import PATIENCE_S, free_port, kodolly, running, scripted_engine, wait_for

NO_POSTGRES = pytest.mark.skipif(
    binaries() is None, reason="PostgreSQL is not installed: apt install postgresql"
)
DATABASES = ["sqlite", pytest.param("postgresql", marks=[pytest.mark.slow, NO_POSTGRES])]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgres(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'kodolly.db'}"
    base: str = request.getfixturevalue("server")
    name = f"test_{os.urandom(4).hex()}"
    psql = ["psql", base, "-qc", f"CREATE DATABASE {name}"]
    subprocess.run(psql, check=True)
    return base.rpartition("/")[0] + f"/{name}"


on_both = pytest.mark.parametrize("url", DATABASES, indirect=True)


@dataclass
class Clock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Gateways:
    """Several gateways' accounts on one store."""

    url: str
    clock: Clock = field(default_factory=Clock)

    @asynccontextmanager
    async def open(self, count: int, key: Key) -> AsyncIterator[tuple[list[Accounts], Key]]:
        async with open_store(self.url) as first:
            secret = await KeyStore(first.database).create(key)
            stores: list[GatewayStore] = []
            contexts = [open_store(self.url) for _ in range(count)]
            for context in contexts:
                stores.append(await context.__aenter__())
            gateways = [Accounts(store, clock=self.clock) for store in stores]
            try:
                for gateway in gateways:
                    await gateway.follow_keys()
                yield gateways, gateways[0].authenticate(secret)
            finally:
                for gateway in gateways:
                    await gateway.close()
                for context in contexts:
                    await context.__aexit__(None, None, None)


async def ask(gateway: Accounts, key: Key, tokens: int = 10) -> Grant | None:
    """One request at one gateway; None when it is refused."""
    try:
        return gateway.try_admit(key, "dolly", tokens) or await gateway.admit(key, "dolly", tokens)
    except RateLimited:
        return None


def key(**limits: Any) -> Key:
    return Key(id=new_key_id(), name="시험", **limits)


@on_both
async def test_requests_a_minute_hold_over_all_gateways(url: str) -> None:
    limit = 1000
    setup = Gateways(url)
    async with setup.open(4, key(requests_per_min=limit)) as (gateways, asking):
        grants = await asyncio.gather(*(ask(gateways[n % 4], asking) for n in range(2 * limit)))
        admitted = sum(grant is not None for grant in grants)
        print(f"\n4 gateways, {limit} requests a minute: {admitted} of {2 * limit} admitted")
        assert 0.98 * limit <= admitted <= limit
        setup.clock.now += 60
        assert await ask(gateways[0], asking) is not None, "a new minute"


@on_both
async def test_tokens_a_minute_hold_and_follow_what_was_really_spent(url: str) -> None:
    limit = 100_000
    setup = Gateways(url)
    async with setup.open(4, key(tokens_per_min=limit)) as (gateways, asking):
        admitted = 0
        for number in range(2000):
            gateway = gateways[number % 4]
            if (grant := await ask(gateway, asking, tokens=400)) is not None:
                admitted += 1
                gateway.settle(grant, "ok", Usage(60, 40))  # a quarter of what was thought
        print(f"\n4 gateways, {limit} tokens a minute: {admitted * 100} spent")
        assert 0.98 * limit <= admitted * 100 <= limit


@on_both
async def test_concurrency_holds_over_all_gateways_and_survives_a_killed_one(url: str) -> None:
    setup = Gateways(url)
    async with setup.open(4, key(concurrency=20)) as (gateways, asking):
        grants = [(gateways[n % 4], await ask(gateways[n % 4], asking)) for n in range(60)]
        running_now = [(gateway, grant) for gateway, grant in grants if grant is not None]
        assert 16 <= len(running_now) <= 20
        for gateway, grant in running_now:
            assert grant is not None
            gateway.settle(grant, "ok", None)
        assert await ask(gateways[3], asking) is not None
        setup.clock.now += 16  # the others renew nothing, as if they were killed
        again = [await ask(gateways[0], asking) for _ in range(25)]
        assert sum(grant is not None for grant in again) == 20


@on_both
async def test_a_spent_budget_says_so_and_is_not_worth_a_retry(url: str) -> None:
    async with Gateways(url).open(1, key(budget_tokens=100)) as ((gateway,), asking):
        grant = await ask(gateway, asking)
        assert grant is not None
        gateway.settle(grant, "ok", Usage(70, 40))
        running_task = asyncio.create_task(gateway.run())

        async def spent() -> None:
            while await ask(gateway, asking) is not None:
                await asyncio.sleep(0.05)

        async with asyncio.timeout(PATIENCE_S):
            await spent()
        running_task.cancel()
        with pytest.raises(RateLimited) as refused:
            await gateway.admit(asking, "dolly", 10)
        assert (refused.value.code, refused.value.headers["x-should-retry"]) == (
            "insufficient_quota",
            "false",
        )


@on_both
async def test_keys_open_close_and_restrict(url: str, tmp_path: Path) -> None:
    async with open_store(url) as store:
        gateway, keys = Accounts(store), KeyStore(store.database)
        await gateway.follow_keys()
        assert gateway.authenticate("") is ANONYMOUS
        secret = await keys.create(key(models=frozenset({"dolly"})))
        following = asyncio.create_task(gateway.run())

        async def until(refused: bool) -> None:
            while True:
                try:
                    gateway.authenticate(secret if refused else "wrong")
                except InvalidApiKey:
                    return
                await asyncio.sleep(0.02)

        async with asyncio.timeout(PATIENCE_S):
            await until(False)
        made = gateway.authenticate(secret)
        with pytest.raises(PermissionDenied, match="demo-base"):
            gateway.try_admit(made, "demo-base", 1)
        await keys.revoke(made.id)
        await keys.create(key())
        async with asyncio.timeout(PATIENCE_S):
            await until(True)
        following.cancel()
        assert secret not in str(await keys.all())
    for file in tmp_path.glob("kodolly.db*"):  # noqa: ASYNC240 a test may block
        assert secret.encode() not in file.read_bytes()


async def test_keys_of_the_settings_have_no_limits(tmp_path: Path) -> None:
    async with open_store(f"sqlite:///{tmp_path / 'k.db'}") as store:
        gateway = Accounts(store, [SecretStr("plain-key")])
        await gateway.follow_keys()
        asking = gateway.authenticate("plain-key")
        grant = gateway.try_admit(asking, "dolly", 10**9)
        assert grant is not None
        assert grant.header_lines == b""
        with pytest.raises(InvalidApiKey):
            gateway.authenticate("\ud800 not UTF-8")


DOLLY = Entry("key_1", "dolly", "", "", 740_000)


class LosingAcknowledgements:
    """A database whose commits succeed, but the word of it gets lost once."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.lose = True

    async def run(self, work: Callable[[Any], Any]) -> Any:
        done = await self.database.run(work)
        if self.lose:
            self.lose = False
            raise StoreFailed("the connection broke")
        return done


@on_both
async def test_a_booking_whose_acknowledgement_was_lost_is_not_booked_twice(url: str) -> None:
    async with open_store(url) as store:
        ledger = Ledger(LosingAcknowledgements(store.database))  # type: ignore[arg-type]
        for outcome in ("ok", "cancelled", "failed"):
            spent = Usage(5, 7, 1, estimated=outcome == "failed")
            ledger.add(DOLLY, outcome, spent)
        with pytest.raises(StoreFailed):
            await ledger.flush()
        ledger.add(DOLLY, "ok", Usage(1, 1))
        await ledger.flush()
        await ledger.flush()
        (row,) = await UsageReport(store.database).rows("model")
        assert (row["ok"], row["cancelled"], row["failed"]) == (2, 1, 1)
        assert (row["prompt_tokens"], row["completion_tokens"], row["cached_tokens"]) == (16, 22, 3)
        assert row["estimated_tokens"] == 12


async def test_a_flush_ends_although_requests_end_all_the_time(tmp_path: Path) -> None:
    async with open_store(f"sqlite:///{tmp_path / 'k.db'}") as store:
        ledger = Ledger(BusyDatabase(store.database, lambda: end_one(ledger)))  # type: ignore[arg-type]
        end_one(ledger)
        async with asyncio.timeout(PATIENCE_S):
            await ledger.flush()
            await ledger.flush()
        (row,) = await UsageReport(store.database).rows("model")
        assert row["ok"] == 2
        assert ledger.unbooked_tokens("key_1") == 2


class BusyDatabase:
    """While it works, something else happens."""

    def __init__(self, database: Database, happens: Callable[[], None]) -> None:
        self.database = database
        self.happens = happens

    async def run(self, work: Callable[[Any], Any]) -> Any:
        self.happens()
        return await self.database.run(work)


def end_one(ledger: Ledger) -> None:
    ledger.add(DOLLY, "ok", Usage(1, 1))


async def test_a_transaction_whose_caller_is_gone_changes_nothing(tmp_path: Path) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def work(connection: sa.Connection) -> None:
        connection.execute(usage_batches.insert().values(id="gone", booked=datetime.now(UTC)))
        begun.set()
        goes_on.wait(PATIENCE_S)

    async with open_store(f"sqlite+aiosqlite:///{tmp_path / 'k.db'}") as store:  # as it was named in 0.1.0
        running = asyncio.create_task(store.database.run(work))
        await asyncio.to_thread(begun.wait, 60)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        goes_on.set()
    async with open_store(f"sqlite:///{tmp_path / 'k.db'}") as store:
        rows = sa.select(sa.func.count()).select_from(usage_batches)
        assert await store.database.run(lambda connection: connection.execute(rows).scalar_one()) == 0


@on_both
async def test_gateways_that_start_together_migrate_once(url: str) -> None:
    async def start() -> None:
        async with open_store(url) as store:
            await store.check()

    await asyncio.gather(*(start() for _ in range(5)))


# -- whole gateways ---------------------------------------------------------------------------------


@pytest.mark.slow
@on_both
def test_four_processes_keep_one_keys_limit(url: str, tmp_path: Path) -> None:
    gateway = f"http://127.0.0.1:{free_port()}"
    env = {"KODOLLY_STATE_DIR": str(tmp_path / "state"), "KODOLLY_GATEWAY_DATABASE_URL": url}
    limit = 300
    with ExitStack() as stack:
        engine = stack.enter_context(scripted_engine(tmp_path, "dolly"))
        secret = create_key(env, tmp_path, "--requests-per-min", str(limit))
        argv = kodolly("gateway", "--port", gateway.rpartition(":")[2], "--processes", "4")
        argv += ["--static", f"dolly={engine}"]
        stack.enter_context(running(argv, tmp_path / "gateway.log", f"{gateway}/healthz", env, tmp_path))
        key = {"authorization": f"Bearer {secret}"}

        def listed() -> bool:
            """By every process: each new connection meets another."""
            answers = [
                httpx2.get(f"{gateway}/v1/models", headers=key, trust_env=False).json() for _ in range(32)
            ]
            return all(answer.get("data") for answer in answers)

        wait_for(listed, 30, what="the model at all processes")
        # All requests must fall into one minute of the clock.
        wait_for(lambda: time.time() % 60 < 40, 30, what="a minute that is young enough")

        async def run() -> list[int]:
            async with new_client(40) as client:
                client.headers["authorization"] = f"Bearer {secret}"
                body = {"model": "dolly", "messages": [{"role": "user", "content": "가"}], "max_tokens": 1}

                async def one() -> int:
                    answer = await client.post(f"{gateway}/v1/chat/completions", json=body)
                    if answer.status_code == 429:
                        assert int(answer.headers["retry-after"]) >= 1
                        assert answer.headers["x-ratelimit-limit-requests"] == str(limit)
                    assert answer.status_code in (200, 429), answer.text
                    return answer.status_code

                return list(await asyncio.gather(*(one() for _ in range(2 * limit))))

        counts = Counter(asyncio.run(run()))
        print(f"\n4 processes on {url.partition(':')[0]}, {limit} requests a minute: {dict(counts)}")
        assert set(counts) == {200, 429}
        assert 0.98 * limit <= counts[200] <= 1.02 * limit
