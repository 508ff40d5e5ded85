"""An answer on its way to the page: pacing, stopping, failing, measuring."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from common.feedback import Sampling
from webui.answering import Runs, answer
from webui.conversation import Setup, Side
from webui.failures import Failure
from webui.gateway_client import GatewayClient, GatewayError, StreamEvent
from webui.metrics import Stopwatch
from webui.pacing import batches

SETUP = Setup(model="m", sampling=Sampling(temperature=0.0, top_p=1.0, max_tokens=9))


class Source:
    """A stream that gives `items`, then waits for ever or ends, and knows whether it was closed."""

    def __init__(self, items: list[Any], *, endless: bool = False, error: Exception | None = None) -> None:
        self.items, self.endless, self.error, self.closed = items, endless, error, False

    async def stream(self, _request: object = None) -> AsyncGenerator[Any, None]:
        try:
            for item in self.items:
                yield item
                await asyncio.sleep(0)
            if self.error:
                raise self.error
            if self.endless:
                await asyncio.Event().wait()
        finally:
            self.closed = True


class ScriptedClient(GatewayClient):
    """A client whose stream is a `Source`; nothing else of it is called here."""

    def __init__(self, source: Source) -> None:
        self.stream = source.stream  # type: ignore[method-assign]


async def collect(source: Source, runs: Runs | None = None) -> list[Side]:
    side = Side().ask("질문", SETUP)
    return [grown async for grown, _ in answer(ScriptedClient(source), side, runs or Runs())]


async def test_nothing_is_lost_or_reordered_by_pacing() -> None:
    source = Source(list(range(500)))
    seen = [batch async for batch in batches(source.stream(), asyncio.Event(), interval_s=0.001)]
    assert [item for batch in seen for item in batch] == list(range(500))
    assert source.closed


async def test_what_came_before_an_error_is_given_before_it_is_raised() -> None:
    source, seen = Source([1, 2, 3], error=ValueError("x")), []

    async def read() -> None:
        async for batch in batches(source.stream(), asyncio.Event(), interval_s=0.001):
            seen.extend(batch)

    with pytest.raises(ValueError, match="x"):
        await read()
    assert seen == [1, 2, 3]


async def test_silence_gives_empty_batches_so_that_a_clock_can_go_on() -> None:
    paced = batches(Source([], endless=True).stream(), asyncio.Event(), interval_s=0.001, tick_s=0.001)
    assert await anext(paced) == []
    assert await anext(paced) == []
    await paced.aclose()


async def test_leaving_early_closes_the_source() -> None:
    source = Source([1], endless=True)
    paced = batches(source.stream(), asyncio.Event(), interval_s=0.001)
    assert await anext(paced) == [1]
    await paced.aclose()
    assert source.closed


async def test_an_answer_grows_and_ends_done() -> None:
    events = [
        StreamEvent(request_id="req-1"),
        StreamEvent(text="안"),
        StreamEvent(text="녕"),
        StreamEvent(finish_reason="stop"),
        StreamEvent(completion_tokens=2),
    ]
    sides = await collect(Source(events))
    last = sides[-1].turns[-1]
    assert all(side.running for side in sides[:-1])
    assert (last.answer, last.state, last.finish_reason, last.request_id) == ("안녕", "done", "stop", "req-1")
    assert last.metrics.tokens == 2
    assert last.complete


async def test_a_failure_keeps_what_came_and_says_why() -> None:
    error = GatewayError(Failure(kind="timeout", message="late", request_id="req-9"))
    last = (await collect(Source([StreamEvent(text="반")], error=error)))[-1].turns[-1]
    assert (last.answer, last.state, last.request_id) == ("반", "failed", "req-9")
    assert last.failure == error.failure
    assert not last.complete


async def test_stop_ends_the_request_and_keeps_the_text() -> None:
    source, runs = Source([StreamEvent(text="반")], endless=True), Runs()
    side = Side().ask("질문", SETUP)
    assert not runs.stop(side.turns[-1].id)
    runs.announce(side.turns[-1].id)
    last = side
    async for last, _ in answer(ScriptedClient(source), side, runs):
        if last.turns[-1].answer:
            assert runs.stop(side.turns[-1].id)
    assert (last.turns[-1].answer, last.turns[-1].state) == ("반", "stopped")
    assert source.closed
    assert not runs.stop(side.turns[-1].id)


async def test_a_stop_before_the_first_text_counts() -> None:
    source, runs = Source([], endless=True), Runs()
    side = Side().ask("질문", SETUP)
    runs.announce(side.turns[-1].id)
    runs.stop(side.turns[-1].id)
    states = [grown.turns[-1].state async for grown, _ in answer(ScriptedClient(source), side, runs)]
    assert states[-1] == "stopped"


async def test_nobody_fetches_the_same_answer_twice() -> None:
    runs, source = Runs(), Source([StreamEvent(text="반")], endless=True)
    side = Side().ask("질문", SETUP)
    first = answer(ScriptedClient(source), side, runs)
    await anext(first)
    assert [grown async for grown in answer(ScriptedClient(Source([])), side, runs)] == []
    await first.aclose()
    assert source.closed


async def test_a_finished_answer_is_not_asked_for_again() -> None:
    side = Side().ask("질문", SETUP).with_last(state="done", answer="답")
    assert [grown async for grown in answer(ScriptedClient(Source([])), side, Runs())] == []


def test_figures_are_those_of_the_reader() -> None:
    times = iter([10.0, 10.25, 10.5, 11.25])
    watch = Stopwatch(lambda: next(times))
    for _ in range(3):
        watch.text_arrived()
    figures = watch.metrics(tokens=11)
    assert figures.ttft_ms == pytest.approx(250)
    assert figures.tokens_per_s == pytest.approx(10.0)


def test_an_answer_in_one_piece_has_the_rate_of_its_whole_time() -> None:
    times = iter([0.0, 2.0])
    watch = Stopwatch(lambda: next(times))
    assert watch.metrics(None).ttft_ms is None
    watch.text_arrived()
    assert watch.metrics(5).tokens_per_s == pytest.approx(2.5)
    assert watch.metrics(None).tokens_per_s is None
    assert watch.metrics(None).ttft_ms == pytest.approx(2000)
