"""Limits under chance: several gateways on one store, keys that change, answers longer than thought."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.database import StoreFailed
from common.errors import InvalidApiKey, Overloaded, RateLimited
from server.accounts.accounts import Accounts
from server.accounts.keys import Key, KeyStore, new_key_id
from server.accounts.meter import Grant
from server.record import Usage
from server.store.opening import open_store


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def gateways(count: int, clock: Clock, **limits: Any) -> AsyncIterator[tuple[list[Accounts], Key]]:
    with TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            url = f"sqlite:///{Path(folder) / 'kodolly.db'}"
            stores = [await stack.enter_async_context(open_store(url)) for _ in range(count)]
            secret = await KeyStore(stores[0].database).create(Key(new_key_id(), "시험", **limits))
            found = [Accounts(store, clock=clock) for store in stores]
            for accounts in found:
                await accounts.follow_keys()
            yield found, found[0].authenticate(secret)


async def ask(accounts: Accounts, key: Key, tokens: int = 10) -> Grant | None:
    try:
        return accounts.try_admit(key, "dolly", tokens) or await accounts.admit(key, "dolly", tokens)
    except RateLimited:
        return None


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["ask", "end", "tick"]), st.integers(1, 60)), max_size=60
)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(20, 400), st.integers(1, 5), STEPS)
def test_no_limit_is_ever_exceeded(
    requests: int, tokens: int, concurrency: int, steps: list[tuple[int, str, int]]
) -> None:
    async def run() -> None:
        clock = Clock()
        limits = {"requests_per_min": requests, "tokens_per_min": tokens, "concurrency": concurrency}
        async with gateways(3, clock, **limits) as (found, key):
            admitted = spent = 0
            held: list[tuple[Accounts, Grant]] = []
            for number, step, amount in steps:
                if step == "ask" and (grant := await ask(found[number], key, amount)) is not None:
                    admitted, spent = admitted + 1, spent + amount
                    held.append((found[number], grant))
                elif step == "end" and held:
                    accounts, grant = held.pop(amount % len(held))
                    used = grant.tokens // 2
                    accounts.settle(grant, "ok", Usage(used, 0))
                    spent -= grant.tokens - used
                elif step == "tick":
                    meters = list(found[number]._meters.values())
                    await found[number]._leases.keep_slots(meters)
                    await found[number]._leases.settle_windows(meters)
                assert admitted <= requests
                assert spent <= tokens
                assert len(held) <= concurrency

    asyncio.run(run())


async def test_an_answer_much_longer_than_thought_is_felt_everywhere_but_locks_nobody_out() -> None:
    clock = Clock()
    async with gateways(2, clock, tokens_per_min=1000) as ((one, other), key):
        grant = await ask(one, key, 100)
        assert grant is not None
        one.settle(grant, "ok", Usage(8000, 0))
        await one._leases.settle_windows(list(one._meters.values()))
        assert await ask(other, key, 100) is None
        clock.now += 60
        assert await ask(other, key, 100) is not None
        assert await ask(one, key, 100) is not None


async def test_what_an_answer_of_a_past_minute_took_too_much_is_owed_by_this_one() -> None:
    clock = Clock()
    async with gateways(1, clock, tokens_per_min=1000) as ((accounts,), key):
        grant = await ask(accounts, key, 100)
        assert grant is not None
        clock.now += 60
        accounts.settle(grant, "ok", Usage(1100, 0))
        assert await ask(accounts, key, 100) is None
        clock.now += 60
        assert await ask(accounts, key, 100) is not None


async def test_unneeded_tokens_of_one_gateway_serve_the_others() -> None:
    async with gateways(2, Clock(), tokens_per_min=1000) as ((one, other), key):
        grant = await ask(one, key, 900)
        assert grant is not None
        one.settle(grant, "ok", Usage(10, 0))
        await one._leases.settle_windows(list(one._meters.values()))
        assert await ask(other, key, 900) is not None


async def test_a_stopped_gateway_gives_its_leases_back() -> None:
    limits = {"requests_per_min": 4000, "concurrency": 3}
    async with gateways(2, Clock(), **limits) as ((one, other), key):
        grant = await ask(one, key)
        assert grant is not None
        one.settle(grant, "ok", None)
        await one.close()
        running = [await ask(other, key) for _ in range(3)]
        assert None not in running
        for grant in running:
            assert grant is not None
            other.settle(grant, "ok", None)
        assert sum([await ask_and_end(other, key) for _ in range(4100)]) == 4000 - 4


async def ask_and_end(accounts: Accounts, key: Key) -> bool:
    grant = await ask(accounts, key)
    if grant is not None:
        accounts.settle(grant, "ok", None)
    return grant is not None


async def test_limits_given_to_a_busy_key_start_from_nothing() -> None:
    async with gateways(1, Clock(), tokens_per_min=10**6) as ((accounts,), key):
        before = [await ask(accounts, key) for _ in range(50)]
        await accounts.keys.change(key.id, {"requests_per_min": 5, "tokens_per_min": None})
        await accounts.follow_keys()
        for grant in before:
            assert grant is not None
            accounts.settle(grant, "ok", None)
        assert sum([await ask_and_end(accounts, key) for _ in range(20)]) == 5


async def test_a_key_without_limits_that_gets_one_keeps_it() -> None:
    async with gateways(1, Clock()) as ((accounts,), key):
        before = [await ask(accounts, key) for _ in range(10)]
        await accounts.keys.change(key.id, {"concurrency": 2})
        await accounts.follow_keys()
        for grant in before:
            assert grant is not None
            accounts.settle(grant, "ok", None)
        assert [await ask(accounts, key) is not None for _ in range(4)] == [True, True, False, False]


async def test_requests_that_wait_together_are_all_admitted_up_to_the_limit() -> None:
    async with gateways(1, Clock(), requests_per_min=50, tokens_per_min=500) as ((accounts,), key):
        grants = await asyncio.gather(*(ask(accounts, key, 10) for _ in range(80)))
        assert sum(grant is not None for grant in grants) == 50


async def test_a_gateway_whose_last_key_was_revoked_is_not_open() -> None:
    async with gateways(1, Clock()) as ((accounts,), key):
        await accounts.keys.revoke(key.id)
        await accounts.follow_keys()
        with pytest.raises(InvalidApiKey):
            accounts.authenticate("")


async def test_limits_that_cannot_be_checked_admit_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async with gateways(1, Clock(), requests_per_min=5) as ((accounts,), key):

        async def fail(*_: object) -> None:
            raise StoreFailed("gone")

        monkeypatch.setattr(accounts._limits, "lease", fail)
        with pytest.raises(Overloaded) as refused:
            await accounts.admit(key, "dolly", 1)
        assert refused.value.headers["retry-after"] == "2"
