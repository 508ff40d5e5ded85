"""An answer on its way to the page: pacing, stopping, failing, measuring."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from common.database import StoreFailed
from common.feedback import Sampling
from webui.answering import Answering, answer
from webui.chat_request import ChatRequest
from webui.conversation import Setup, Side, Turn
from webui.failures import Failure
from webui.gateway_client import GatewayClient, GatewayError, StreamEvent
from webui.gateway_stream import Rest
from webui.metrics import Stopwatch
from webui.pacing import EARLY, INTERVAL_S, batches, gathering
from webui.store.growing_answers import AnswerStanding

USER = "somebody"
SETUP = Setup(model="m", sampling=Sampling(temperature=0.0, top_p=1.0, max_tokens=9))


class Source:
    """A stream that gives `items`, then waits for ever or ends, and knows whether it was closed."""

    def __init__(self, items: list[Any], *, endless: bool = False, error: Exception | None = None) -> None:
        self.items, self.endless, self.error, self.closed, self.opened = items, endless, error, False, 0

    async def stream(self) -> AsyncGenerator[Any, None]:
        self.opened += 1
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
        self.source = source
        self.asked: list[ChatRequest] = []

    def stream(
        self, request: ChatRequest, rest: Callable[[], Rest] | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        self.asked.append(request)
        return self.source.stream()


async def collect(source: Source) -> list[Side]:
    side = Side().ask("질문", SETUP)
    return [grown async for grown, _ in answer(ScriptedClient(source), side, asyncio.Event())]


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


async def test_what_shows_nothing_holds_back_nothing() -> None:
    paced = batches(Source(["head", "text"], endless=True).stream(), asyncio.Event(), interval_s=3600,
                    rest_after=lambda batch: "text" in batch)  # fmt: skip
    seen: list[str] = []
    async with asyncio.timeout(60):
        while "text" not in seen:
            seen += await anext(paced)
    await paced.aclose()
    assert seen == ["head", "text"]


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


class Written:
    """A store of answers that remembers what was written, or fails."""

    def __init__(self, *, broken: bool = False) -> None:
        self.turns: list[Turn] = []
        self.broken = broken
        self.standing = AnswerStanding(wanted=True, hidden=False)

    async def write(self, turn: Turn) -> AnswerStanding:
        if self.broken:
            raise StoreFailed("The disk is full.")
        self.turns.append(turn)
        return self.standing


def answering(source: Source, written: Written, without_page_s: float = 60.0) -> Answering:
    return Answering(ScriptedClient(source), written.write, without_page_s, write_every_s=0.0)


async def growing(fetching: Answering, turn_id: str) -> AsyncGenerator[Turn, None]:
    """The answer at each look, the last one ended. A process forgets an answer that it has written."""
    while (grown := fetching.look(USER, turn_id)) is not None:
        yield grown.turn
        if grown.turn.state != "running":
            return
        await fetching.news([turn_id], timeout_s=60)


async def ended(fetching: Answering, turn_id: str) -> None:
    """Returns when this process fetches the answer no more."""
    async with asyncio.timeout(60):
        while (grown := fetching.look(USER, turn_id)) is not None and grown.turn.state == "running":
            await fetching.news([turn_id], timeout_s=60)


def open_question() -> tuple[Side, str]:
    side = Side().ask("질문", SETUP)
    return side, side.turns[-1].id


async def test_stop_ends_the_request_and_keeps_the_text() -> None:
    source, written = Source([StreamEvent(text="반")], endless=True), Written()
    side, turn_id = open_question()
    fetching = answering(source, written)
    assert not fetching.stop([side])
    async with fetching.running():
        fetching.start(side, USER)
        async for turn in growing(fetching, turn_id):
            if turn.state == "running" and turn.answer:
                assert fetching.stop([side])
    assert (written.turns[-1].answer, written.turns[-1].state) == ("반", "stopped")
    assert source.closed
    assert not fetching.stop([side])


async def test_what_another_process_has_ended_or_shown_is_heeded() -> None:
    source, written = Source([StreamEvent(text="반")], endless=True), Written()
    side, turn_id = open_question()
    fetching = answering(source, written)
    async with fetching.running():
        fetching.start(side, USER, hidden=True)
        async for _ in growing(fetching, turn_id):
            grown = fetching.look(USER, turn_id)
            if grown is not None and not grown.hidden:
                written.standing = AnswerStanding(wanted=False, hidden=False)
    assert source.closed
    assert written.turns[-1].state == "stopped"


async def test_a_stop_before_the_first_text_counts() -> None:
    side, turn_id = open_question()
    written = Written()
    fetching = answering(Source([], endless=True), written)
    async with fetching.running():
        fetching.start(side, USER)
        fetching.stop([side])
        await ended(fetching, turn_id)
    assert written.turns[-1].state == "stopped"


async def test_an_answer_goes_on_without_its_page_and_is_there_for_the_next() -> None:
    events = [StreamEvent(text=f"{n} ") for n in range(50)]
    source, written = Source(events), Written()
    side, turn_id = open_question()
    fetching = answering(source, written)
    async with fetching.running():
        fetching.start(side, USER)
        assert fetching.look(USER, turn_id) is not None
        assert not source.closed
        async with asyncio.timeout(60):
            while not written.turns or written.turns[-1].state != "done":
                await asyncio.sleep(0)
    assert written.turns[-1].answer == "".join(event.text for event in events)


async def test_an_answer_that_no_page_looks_at_any_more_ends_after_a_while() -> None:
    source, written = Source([StreamEvent(text="반")], endless=True), Written()
    side, _ = open_question()
    fetching = answering(source, written, without_page_s=0.0)
    async with fetching.running():
        fetching.start(side, USER)
        async with asyncio.timeout(60):
            while not written.turns or written.turns[-1].state != "stopped":
                await asyncio.sleep(0)
    assert source.closed


async def test_an_answer_that_is_looked_at_through_another_process_goes_on() -> None:
    events = [StreamEvent(text=f"{n} ") for n in range(50)]
    source, written = Source(events), Written()
    written.standing = AnswerStanding(wanted=True, hidden=False, looked_ago_s=0.0)
    side, _ = open_question()
    fetching = answering(source, written, without_page_s=3600)
    async with fetching.running():
        fetching.start(side, USER)
        run = next(iter(fetching._runs.values()))
        run.looked_at -= 7200  # no page has looked here for two hours
        async with asyncio.timeout(60):
            while not written.turns or written.turns[-1].state == "running":
                await asyncio.sleep(0)
    assert written.turns[-1].state == "done"


async def test_the_end_of_the_process_keeps_what_came() -> None:
    source, written = Source([StreamEvent(text="반")], endless=True), Written()
    side, turn_id = open_question()
    fetching = answering(source, written)
    async with fetching.running():
        fetching.start(side, USER)
        async for turn in growing(fetching, turn_id):
            if turn.answer:
                break
    assert (written.turns[-1].answer, written.turns[-1].state) == ("반", "stopped")


async def test_a_full_disk_does_not_take_the_answer_off_the_screen() -> None:
    side, turn_id = open_question()
    fetching = answering(Source([StreamEvent(text="답")]), Written(broken=True))
    async with fetching.running():
        fetching.start(side, USER)
        seen = [turn async for turn in growing(fetching, turn_id)]
    assert (seen[-1].answer, seen[-1].state) == ("답", "done")


async def test_nobody_fetches_the_same_answer_twice() -> None:
    source = Source([StreamEvent(text="반")], endless=True)
    side, turn_id = open_question()
    fetching = answering(source, Written())
    async with fetching.running():
        fetching.start(side, USER)
        fetching.start(side, USER)
        for _tab in range(2):
            async for turn in growing(fetching, turn_id):
                if turn.answer:
                    break
            assert turn.answer == "반"
    assert source.opened == 1


async def test_nobody_sees_the_answer_of_another() -> None:
    side, turn_id = open_question()
    fetching = answering(Source([StreamEvent(text="비밀")], endless=True), Written())
    async with fetching.running():
        fetching.start(side, USER)
        assert fetching.look("stranger", turn_id) is None
        assert fetching.look(USER, turn_id) is not None


async def test_a_finished_answer_is_not_asked_for_again() -> None:
    side = Side().ask("질문", SETUP).with_last(state="done", answer="답")
    fetching = answering(Source([]), Written())
    fetching.start(side, USER)
    assert fetching.look(USER, side.turns[-1].id) is None


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


def test_reasoning_has_its_own_time_and_the_first_of_both_counts() -> None:
    times = iter([0.0, 1.0, 3.0, 6.0, 8.0])
    watch = Stopwatch(lambda: next(times))
    watch.reasoning_arrived()
    watch.reasoning_arrived()
    assert watch.metrics(None).reasoning_ms == pytest.approx(2000)
    watch.text_arrived()
    watch.text_arrived()
    figures = watch.metrics(tokens=8)
    assert figures.ttft_ms == pytest.approx(1000)
    assert figures.reasoned_first
    assert figures.reasoning_ms == pytest.approx(5000)


def test_without_reasoning_there_is_no_time_of_it() -> None:
    times = iter([0.0, 1.0])
    watch = Stopwatch(lambda: next(times))
    watch.text_arrived()
    figures = watch.metrics(tokens=None)
    assert (figures.reasoned_first, figures.reasoning_ms) == (False, None)


async def test_reasoning_grows_beside_the_answer() -> None:
    events = [StreamEvent(reasoning="먼저 "), StreamEvent(reasoning="생각"), StreamEvent(text="답")]
    last = (await collect(Source(events)))[-1].turns[-1]
    assert (last.reasoning, last.answer, last.metrics.reasoned_first) == ("먼저 생각", "답", True)


@pytest.mark.parametrize("store_fails", [False, True])
async def test_the_gateway_is_told_by_which_name_to_forget_who_asks(*, store_fails: bool) -> None:
    async def rater_of(user: str) -> str:
        if store_fails:
            raise StoreFailed("The disk is full.")
        return f"rater of {user}"

    client, written = ScriptedClient(Source([StreamEvent(text="답", finish_reason="stop")])), Written()
    side, turn_id = open_question()
    fetching = Answering(client, written.write, 60.0, rater_of=rater_of)
    async with fetching.running():
        fetching.start(side, USER)
        await ended(fetching, turn_id)
    assert [request.user for request in client.asked] == [None if store_fails else f"rater of {USER}"]
    assert [(turn.answer, turn.state) for turn in written.turns] == [("답", "done")]


def test_growing_answers_are_read_at_the_same_moments() -> None:
    grown, now = iter([0.0, 0.2, 1.0, 60.0, 60.0]), iter([10.2, 10.25, 10.99, 11.01])
    rests = [gathering(lambda: next(grown), lambda: next(now))() for _ in range(5)]
    assert rests[0].seconds == 0  # the first text comes at once
    moments = [at + rest.seconds for at, rest in zip([10.2, 10.25, 10.99, 11.01], rests[1:], strict=True)]
    assert [moment / INTERVAL_S for moment in moments] == pytest.approx([154, 155, 166, 166])
    assert all(EARLY * INTERVAL_S < rest.seconds <= (1 + EARLY) * INTERVAL_S for rest in rests[1:])
    assert [rest.listens for rest in rests[1:]] == [True, True, False, False]
