"""Budgets of a month: what is set aside for requests that run holds over all gateways, whatever happens."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.database import StoreFailed
from common.errors import RateLimited
from server.accounts import accounts as accounts_module
from server.accounts.accounts import Accounts
from server.accounts.budgets import LEASE_TTL_S, Ask, Wish, share_of
from server.accounts.keys import Key, KeyStore, new_key_id
from server.accounts.meter import Grant
from server.client.request import RequestHead
from server.client.routes import ROUTES
from server.inference.token_need import LONG_ANSWER_TOKENS, PROBABLE_ANSWER_TOKENS, Need, needed_tokens
from server.record import Usage
from server.store.opening import GatewayStore, open_store

MONTH = 1_800_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = MONTH

    def __call__(self) -> float:
        return self.now


@dataclasses.dataclass
class House:
    """Several gateways' accounts on one store, and one key with a budget."""

    gateways: list[Accounts]
    key: Key
    clock: Clock

    async def tick(self, *numbers: int) -> None:
        """What a gateway does each second."""
        self.clock.now += 0.3
        for number in numbers or range(len(self.gateways)):
            gateway = self.gateways[number]
            await gateway._budgets.book(gateway._meters)
            await gateway._budgets.keep(list(gateway._meters.values()))

    async def ask(self, number: int, most: int, least: int | None = None) -> Grant | None:
        """One request at one gateway; None when it is refused."""
        gateway, asked = self.gateways[number], Ask(most, most if least is None else least)
        try:
            at_once = gateway.try_admit(self.key, "dolly", most, asked)
            return at_once or await gateway.admit(self.key, "dolly", most, asked)
        except RateLimited:
            return None

    async def booked(self) -> int:
        rows = await self.gateways[0].report.rows("model", key_id=self.key.id)
        return sum(int(str(row[kind])) for row in rows for kind in ("prompt_tokens", "completion_tokens"))


@asynccontextmanager
async def house(count: int, budget: int) -> AsyncIterator[House]:
    """A key of its own for each test, on the one store of this module: to make one takes a while."""
    database = STORE[0].database
    secret = await KeyStore(database).create(Key(new_key_id(), "시험", budget_tokens=budget))
    clock = Clock()
    found = [Accounts(STORE[0], clock=clock) for _ in range(count)]
    for gateway in found:
        await gateway.follow_keys()
    yield House(found, found[0].authenticate(secret), clock)


STORE: list[GatewayStore] = []


@pytest.fixture(scope="module", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    context = open_store(f"sqlite:///{tmp_path_factory.mktemp('budgets') / 'kodolly.db'}")
    with asyncio.Runner() as runner:
        STORE.append(runner.run(context.__aenter__()))
        yield
        runner.run(context.__aexit__(None, None, None))
        STORE.clear()


@pytest.fixture(scope="module", autouse=True)
def no_patience() -> Iterator[None]:
    """Requests that do not fit are refused at once, so that a test need not wait for each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounts_module, "BUDGET_PATIENCE_S", -1.0)
        yield


STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["ask", "ask", "end", "end", "tick", "lost word"]),
        st.integers(1, 400) | st.integers(1, 60_000),
    ),
    max_size=50,
)


@example(2, [(2, "ask", 1), (0, "end", 1), (2, "lost word", 1), (2, "ask", 1)])
@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3000) | st.integers(60_000, 70_000), STEPS)
def test_no_budget_is_ever_exceeded_and_all_of_it_can_be_used(
    budget: int, steps: list[tuple[int, str, int]]
) -> None:
    async def run() -> None:
        async with house(3, budget) as home:
            held: list[tuple[int, Grant]] = []
            spent = 0
            for number, step, amount in steps:
                if step == "ask":
                    if (grant := await home.ask(number, amount)) is not None:
                        assert grant.reserved == amount or (grant.reserved == budget and not spent)
                        held.append((number, grant))
                elif step == "end" and held:
                    spent += end(home, *held.pop(amount % len(held)), amount)
                elif step == "tick":
                    await home.tick(number)
                elif step == "lost word":
                    await lose_one_acknowledgement(home, number)
                assert spent + sum(grant.reserved for _, grant in held) <= budget
            for number, grant in held:
                spent += end(home, number, grant, 1)
            await home.tick()
            await home.tick()
            assert await home.booked() == spent
            if spent < budget:
                assert await home.ask(0, budget - spent) is not None
            assert await home.ask(1, 1) is None

    asyncio.run(run())


def end(home: House, number: int, grant: Grant, amount: int) -> int:
    """A request ends that took no more than what was set aside for it; returns how much."""
    took = min(amount, grant.reserved)
    home.gateways[number].settle(grant, "ok", Usage(took, 0))
    return took


async def lose_one_acknowledgement(home: House, number: int) -> None:
    """The next transaction is done, and the word of it gets lost."""
    database = home.gateways[number]._budgets._database
    run = type(database).run

    async def run_once(self: Any, work: Any) -> Any:
        del database.run
        await run(self, work)
        raise StoreFailed("the connection broke")

    database.run = run_once.__get__(database)  # type: ignore[method-assign]
    try:
        await home.tick(number)
    except StoreFailed:
        pass
    else:
        database.__dict__.pop("run", None)


async def test_requests_at_once_at_two_gateways_are_admitted_as_far_as_they_fit() -> None:
    async with house(2, 100) as home:
        grants = await asyncio.gather(*(home.ask(n % 2, 18) for n in range(30)))
        assert sum(grant is not None for grant in grants) == 5


async def test_a_budget_smaller_than_any_request_admits_one() -> None:
    async with house(2, 100) as home:
        grants = await asyncio.gather(*(home.ask(n % 2, 105) for n in range(30)))
        (number, grant) = next((n % 2, grant) for n, grant in enumerate(grants) if grant is not None)
        assert sum(grant is not None for grant in grants) == 1
        home.gateways[number].settle(grant, "ok", Usage(5, 100))
        await home.tick()
        with pytest.raises(RateLimited, match="used up its 100 tokens") as refused:
            await home.gateways[1 - number].admit(home.key, "dolly", 1)
        assert (refused.value.code, refused.value.headers["x-should-retry"]) == (
            "insufficient_quota",
            "false",
        )


async def test_a_request_that_may_need_more_than_is_left_is_told_how_much_that_is() -> None:
    async with house(1, 1000) as home:
        grant = await home.ask(0, 500)
        assert grant is not None
        home.gateways[0].settle(grant, "ok", Usage(300, 100))
        with pytest.raises(RateLimited, match=r"1000 tokens .* 600 are left; .* may need 601\.") as refused:
            await home.gateways[0].admit(home.key, "dolly", 601)
        assert refused.value.code == "insufficient_quota"
        assert refused.value.headers["x-should-retry"] == "false"
        assert await home.ask(0, 600) is not None


async def test_an_answer_without_a_limit_may_have_the_rest_if_nothing_else_runs() -> None:
    async with house(2, 1000) as home:
        first = await home.ask(0, 200)
        assert first is not None
        assert await home.ask(1, 5000, least=20) is None
        home.gateways[0].settle(first, "ok", Usage(100, 100))
        await home.tick()
        grant = await home.ask(1, 5000, least=20)
        assert grant is not None
        assert grant.reserved == 800
        assert await home.ask(0, 1) is None
        home.gateways[1].settle(grant, "ok", Usage(20, 770))
        await home.tick()
        assert await home.ask(0, 5000, least=20) is None
        assert await home.ask(0, 5000, least=10) is not None


async def test_a_refusal_for_what_others_hold_tells_what_is_left_and_is_worth_a_retry() -> None:
    async with house(1, 1000) as home:
        assert await home.ask(0, 700) is not None
        with pytest.raises(RateLimited, match=r"1000 tokens .* 1000 are left.* may need 400") as refused:
            await home.gateways[0].admit(home.key, "dolly", 400)
        assert (refused.value.code, refused.value.headers["retry-after"]) == ("rate_limit_exceeded", "1")
        assert "x-should-retry" not in refused.value.headers


async def test_what_one_gateway_holds_idle_is_there_for_another_after_a_moment() -> None:
    async with house(2, 1_000_000) as home:
        grant = await home.ask(0, 300)
        assert grant is not None
        home.gateways[0].settle(grant, "ok", Usage(100, 100))
        await home.tick()
        await home.tick()
        assert await home.ask(1, 999_800) is not None


async def test_a_request_waits_for_tokens_that_others_give_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_module, "BUDGET_PATIENCE_S", 60.0)
    async with house(2, 1000) as home:
        grant = await home.ask(0, 900)
        assert grant is not None
        waiting = asyncio.create_task(home.ask(1, 500))
        await asyncio.sleep(0)
        home.gateways[0].settle(grant, "ok", Usage(10, 0))
        while not waiting.done():
            home.clock.now += 0.3
            await home.tick(0)
            await asyncio.sleep(0.01)
        assert waiting.result() is not None


async def test_a_killed_gateways_lease_ends() -> None:
    async with house(2, 1000) as home:
        assert await home.ask(0, 900) is not None
        assert await home.ask(1, 500) is None
        home.clock.now += LEASE_TTL_S + 1
        assert await home.ask(1, 500) is not None


async def test_a_running_gateways_lease_does_not_end() -> None:
    async with house(2, 1000) as home:
        assert await home.ask(0, 900) is not None
        for _ in range(5):
            home.clock.now += LEASE_TTL_S / 2
            await home.tick(0)
        assert await home.ask(1, 500) is None


async def test_an_answer_longer_than_thought_is_felt_by_all() -> None:
    async with house(2, 1000) as home:
        grant = await home.ask(0, 100)
        assert grant is not None
        home.gateways[0].settle(grant, "ok", Usage(2000, 0))
        assert await home.ask(0, 1) is None
        await home.tick(0)
        assert await home.ask(1, 1) is None


async def test_what_needs_no_tokens_needs_no_budget() -> None:
    async with house(1, 10) as home:
        grant = await home.ask(0, 10)
        assert grant is not None
        home.gateways[0].settle(grant, "ok", Usage(10, 0))
        assert await home.ask(0, 1) is None
        assert await home.ask(0, 0) is not None


async def test_a_budget_given_to_a_key_that_has_spent_counts_what_is_not_booked_yet() -> None:
    async with house(1, 10_000) as home:
        (gateway,) = home.gateways
        await gateway.keys.change(home.key.id, {"budget_tokens": None})
        await gateway.follow_keys()
        grant = await home.ask(0, 1)
        assert grant is not None
        gateway.settle(grant, "ok", Usage(600, 0))
        await gateway.keys.change(home.key.id, {"budget_tokens": 1000})
        await gateway.follow_keys()
        assert await home.ask(0, 300) is not None
        assert await home.ask(0, 300) is None


async def test_a_raised_budget_is_there_at_once() -> None:
    async with house(1, 100) as home:
        (gateway,) = home.gateways
        grant = await home.ask(0, 100)
        assert grant is not None
        gateway.settle(grant, "ok", Usage(100, 0))
        assert await home.ask(0, 50) is None
        await gateway.keys.change(home.key.id, {"budget_tokens": 1000})
        await gateway.follow_keys()
        await home.tick()
        home.clock.now += 1
        assert await home.ask(0, 500) is not None


async def test_a_new_month_begins_with_a_whole_budget() -> None:
    async with house(1, 100) as home:
        grant = await home.ask(0, 100)
        assert grant is not None
        home.gateways[0].settle(grant, "ok", Usage(100, 0))
        await home.tick()
        assert await home.ask(0, 1) is None
        home.clock.now += 31 * 86400
        assert await home.ask(0, 100) is not None


async def test_a_stopped_gateway_gives_its_lease_back_and_books_what_was_spent() -> None:
    async with house(2, 1000) as home:
        grant = await home.ask(0, 900)
        assert grant is not None
        home.gateways[0].settle(grant, "ok", Usage(100, 0))
        await home.gateways[0].close()
        assert await home.ask(1, 900) is not None
        assert await home.ask(1, 1) is None


ASKS = st.none() | st.builds(
    lambda most, least: Ask(most, min(most, least)), st.integers(1, 1000), st.integers(1, 1000)
)
WISHES = st.builds(
    Wish,
    st.just("key"),
    st.just(date(2027, 1, 1)),
    reserved=st.integers(0, 500),
    unbooked=st.integers(0, 500),
    kept=st.integers(0, 50),
    part=st.integers(1, 50),
    ask=ASKS,
    all_waiting=st.integers(0, 3000),
)


@given(st.integers(1, 5000), st.integers(0, 3000), st.integers(0, 3000), WISHES)
def test_nobody_is_granted_what_others_have(limit: int, booked: int, others: int, wish: Wish) -> None:
    share = share_of(limit, booked, others, wish)
    committed = wish.reserved + wish.unbooked
    assert share.held >= committed
    if share.held > committed:
        assert booked + others + share.held <= limit
    if wish.ask is not None and not share.granted:
        assert booked + others + committed + wish.ask.most > limit
    if share.for_one:
        assert others == wish.reserved == 0


CHAT, COMPLETIONS = ROUTES["/v1/chat/completions"], ROUTES["/v1/completions"]


@pytest.mark.parametrize(
    ("route", "fields", "context", "tokens", "ask"),
    [
        (CHAT, {"max_tokens": 50}, None, 150, Ask(150, 150)),
        (CHAT, {"max_completion_tokens": 50, "n": 3}, None, 250, Ask(250, 250)),
        (CHAT, {"max_output_tokens": 0}, None, 100, Ask(100, 100)),
        (CHAT, {}, None, 100 + PROBABLE_ANSWER_TOKENS, Ask(100 + LONG_ANSWER_TOKENS, 101)),
        (CHAT, {}, 2048, 100 + PROBABLE_ANSWER_TOKENS, Ask(2048, 101)),
        (CHAT, {}, 50, 100 + PROBABLE_ANSWER_TOKENS, Ask(101, 101)),
        (CHAT, {"n": "many", "max_tokens": -1}, 131_072, 356, Ask(100 + LONG_ANSWER_TOKENS, 101)),
        (COMPLETIONS, {"prompt": ["가", "나"], "max_tokens": 50, "n": 2}, None, 300, Ask(300, 300)),
        (COMPLETIONS, {"prompt": [[1, 2], [3]], "max_tokens": 50}, None, 200, Ask(200, 200)),
        (COMPLETIONS, {"prompt": [1, 2, 3], "max_tokens": 50}, None, 150, Ask(150, 150)),
        (COMPLETIONS, {"prompt": "가", "max_tokens": 50}, None, 150, Ask(150, 150)),
        (ROUTES["/v1/embeddings"], {"max_tokens": 50}, None, 100, Ask(100, 100)),
        (ROUTES["/tokenize"], {"prompt": "가"}, None, 100, Ask(0, 0)),
    ],
)
def test_what_a_request_may_need(
    route: Any, fields: dict[str, Any], context: int | None, tokens: int, ask: Ask
) -> None:
    head = msgspec.json.decode(msgspec.json.encode({"model": "dolly"} | fields), type=RequestHead)
    assert needed_tokens(head, route, 100, lambda: context) == Need(tokens, ask)
