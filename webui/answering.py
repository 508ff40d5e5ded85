"""Ask one side's open question and give the side back, again and again, as the answer grows."""

import asyncio
import logging
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from common.database import StoreFailed
from webui.chat_request import ChatRequest
from webui.conversation import Mark, Side, Turn
from webui.failures import Failure
from webui.files.file import IMAGE_BYTES
from webui.gateway_client import GatewayClient, GatewayError, StreamEvent
from webui.metrics import Stopwatch
from webui.pacing import batches, gathering
from webui.store.growing_answers import AnswerStanding
from webui.wake_signal import Signal

logger = logging.getLogger(__name__)

Images = Mapping[int, Sequence[str]]
"""data: URLs by the place of the message that they go along with."""
ImagesOf = Callable[[Sequence[str]], Awaitable[Mapping[str, str]]]
WRITE_EVERY_S = 0.8
"""A process that is killed loses at most this much of an answer, and an answer that another process has ended
goes on for no longer. Below `pacing.TICK_S`, so that a silent one is written at each tick."""
NO_MARK = Mark()
UNWRITTEN_S = 600.0
"""How long an answer that could not be written stays in memory, so that its page shows it to the end."""


@dataclass(frozen=True, slots=True)
class Grown:
    """An answer as far as it came."""

    turn: Turn
    waited_s: float
    hidden: bool
    """The name of its model is hidden."""
    mark: Mark = NO_MARK
    """What its reader thinks of it; nothing while it grows."""


@dataclass(slots=True)
class _Run:
    """One answer on its way, and who looks at it."""

    side: Side
    user: str
    hidden: bool
    rater: str | None = None
    waited_s: float = 0.0
    looked_at: float = field(default_factory=time.monotonic)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: set[Signal] = field(default_factory=set)
    """Pages that wait for more of it."""
    task: asyncio.Task[None] | None = None

    def tell(self, side: Side, waited_s: float) -> None:
        """The answer has grown or ended."""
        self.side, self.waited_s = side, waited_s
        for page in self.waiting:
            page.set()


class Answering:
    """The answers that this process fetches, each in a task of its own: a page that is closed or loaded anew
    ends none. One that no page has looked at for `without_page_s` seconds is stopped."""

    def __init__(
        self,
        client: GatewayClient,
        write: Callable[[Turn], Awaitable[AnswerStanding]],
        without_page_s: float,
        write_every_s: float = WRITE_EVERY_S,
        rater_of: Callable[[str], Awaitable[str]] | None = None,
        images_of: ImagesOf | None = None,
    ) -> None:
        """`rater_of` tells by which name the gateway shall know a user, so that all of one user's
        conversations can be deleted there (`kodolly feedback forget`). `images_of` gives the data: URLs of
        images by their ids."""
        self._client = client
        self._rater_of = rater_of
        self._images_of = images_of
        self._write = write
        self._without_page_s = without_page_s
        self._write_every_s = write_every_s
        self._runs: dict[str, _Run] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """At the end of the block every answer is stopped and written as far as it came."""
        try:
            yield
        finally:
            runs = list(self._runs.values())
            for run in runs:
                run.stop.set()
            await asyncio.gather(*[run.task for run in runs if run.task], return_exceptions=True)

    def start(self, side: Side, user: str, *, hidden: bool = False, rater: str | None = None) -> None:
        """Fetch the answer to the open last question of `side`, a conversation of `user`, whose rater id is
        looked up where `rater` does not tell it."""
        if side.last is None or not side.running or side.last.id in self._runs:
            return
        run = self._runs[side.last.id] = _Run(side, user, hidden, rater)
        run.task = asyncio.create_task(self._fetch(side.last.id, run))

    def stop(self, sides: Iterable[Side]) -> bool:
        """Ask the answers that come to end. False when another process fetches one of them."""
        coming = [side.last.id for side in sides if side.last is not None and side.running]
        here = [run for turn_id in coming if (run := self._runs.get(turn_id)) is not None]
        for run in here:
            run.stop.set()
        return len(here) == len(coming)

    def show_names(self, turn_id: str) -> None:
        """The name of the model is not hidden any more."""
        if (run := self._runs.get(turn_id)) is not None:
            run.hidden = False

    def look(self, user: str, turn_id: str) -> Grown | None:
        """An answer of the user's as far as it came; None for one that this process does not fetch."""
        run = self._runs.get(turn_id)
        if run is None or run.user != user:
            return None
        run.looked_at = time.monotonic()
        return Grown(run.side.turns[-1], run.waited_s, run.hidden)

    async def news(self, turn_ids: Iterable[str], timeout_s: float) -> None:
        """Wait until one of the answers has grown or ended, at most `timeout_s` seconds."""
        runs = [run for turn_id in turn_ids if (run := self._runs.get(turn_id)) is not None]
        page = Signal()
        for run in runs:
            run.waiting.add(page)
        try:
            await page.wait(timeout_s)
        finally:
            for run in runs:
                run.waiting.discard(page)

    async def _fetch(self, turn_id: str, run: _Run) -> None:
        side, written = run.side, time.monotonic()
        try:
            rater = run.rater or await self._rater(run.user)
            images = await self._images(run.side)
            async for grown, waited_s in answer(self._client, run.side, run.stop, rater, images):
                side = grown
                if side.running:
                    run.tell(side, waited_s)
                    if time.monotonic() - written > self._write_every_s:
                        self._heed(run, await self._keep(side))
                        written = time.monotonic()
                    if time.monotonic() - run.looked_at > self._without_page_s:
                        run.stop.set()
        except Exception:
            logger.exception("An answer ended by an error of this program", extra={"turn": turn_id})
            side = side.interrupted()
        finally:
            # Written before it is told: a page that looks at the store then finds it ended there, too.
            kept = await self._keep(side.interrupted())
            run.tell(side.interrupted(), run.waited_s)
            if kept is not None:
                self._runs.pop(turn_id, None)
            else:
                asyncio.get_running_loop().call_later(UNWRITTEN_S, self._runs.pop, turn_id, None)

    @staticmethod
    def _heed(run: _Run, found: AnswerStanding | None) -> None:
        """Do as other processes have said."""
        if found is not None:
            run.hidden = run.hidden and found.hidden  # shown once, it is shown for good
            if found.looked_ago_s is not None:
                run.looked_at = max(run.looked_at, time.monotonic() - found.looked_ago_s)
            if not found.wanted:
                run.stop.set()

    async def _rater(self, user: str) -> str | None:
        try:
            return await self._rater_of(user) if self._rater_of else None
        except StoreFailed as error:
            logger.error("A question goes out without its user's rater id: %s", error)
            return None

    async def _images(self, side: Side) -> Images:
        """Those that go along with the questions, the newest first, as far as a request holds them. A model
        that takes none is told their names alone. Raises StoreFailed."""
        if self._images_of is None or side.last is None or not side.last.setup.images:
            return {}
        wanted: list[str] = []
        size = 0
        for file in (file for at in sorted(side.images(), reverse=True) for file in side.images()[at]):
            size += file.bytes
            if size <= IMAGE_BYTES:
                wanted.append(file.id)
        found = await self._images_of(wanted) if wanted else {}
        sent = {at: [found[one.id] for one in of if one.id in found] for at, of in side.images().items()}
        return {at: urls for at, urls in sent.items() if urls}

    async def _keep(self, side: Side) -> AnswerStanding | None:
        """None when the store did not take it."""
        try:
            return await self._write(side.turns[-1])
        except StoreFailed as error:
            logger.error("An answer could not be kept: %s", error)
            return None


async def answer(
    client: GatewayClient,
    side: Side,
    stop: asyncio.Event,
    rater: str | None = None,
    images: Images | None = None,
) -> AsyncGenerator[tuple[Side, float], None]:
    """The side with its open last turn growing, and the seconds waited for it.

    The last value is never `running`: it is done, stopped (by `stop`) or failed. Leaving the generator
    early ends the request at the gateway.
    """
    turn = side.last
    if turn is None or turn.state != "running":
        return
    request = _request(side, turn, rater, images or {})
    watch = Stopwatch()
    tokens: int | None = None
    try:
        events = _timed(client.stream(request, gathering(lambda: watch.grown_s)), watch)
        # The head of an answer shows nothing: no rest after it, so that the first text comes at once.
        async with aclosing(batches(events, stop, rest_after=_shows)) as stream:
            async for batch in stream:
                tokens = _last(batch, "completion_tokens") or tokens
                last = side.turns[-1]
                side = side.with_last(
                    answer=last.answer + "".join([event.text for event in batch]),
                    reasoning=last.reasoning + "".join([event.reasoning for event in batch]),
                    finish_reason=_last(batch, "finish_reason") or last.finish_reason,
                    request_id=_last(batch, "request_id") or last.request_id,
                    checkpoint=_last(batch, "checkpoint") or last.checkpoint,
                    metrics=watch.metrics(tokens),
                )
                yield side, watch.waited_s
        state = "stopped" if stop.is_set() and side.turns[-1].finish_reason is None else "done"
        yield side.with_last(state=state), watch.waited_s
    except GatewayError as error:
        yield _failed(side, error.failure), watch.waited_s


def _failed(side: Side, failure: Failure) -> Side:
    last = side.turns[-1]
    told = failure.model_copy(update={"external": last.setup.external})
    return side.with_last(state="failed", failure=told, request_id=failure.request_id or last.request_id)


def _request(side: Side, turn: Turn, rater: str | None, images: Images) -> ChatRequest:
    setup = turn.setup
    messages, begun = side.messages(), turn.answer
    return ChatRequest(
        setup.model, messages, setup.sampling, setup.external, begun=begun, images=images, user=rater
    )


def _shows(batch: list[StreamEvent]) -> bool:
    return any(event.text or event.reasoning for event in batch)


def _last(batch: list[StreamEvent], name: str) -> Any:
    """The newest value of a field that an event has."""
    return next((value for event in reversed(batch) if (value := getattr(event, name))), None)


async def _timed(
    stream: AsyncGenerator[StreamEvent, None], watch: Stopwatch
) -> AsyncGenerator[StreamEvent, None]:
    """Tell the watch of a text when it comes, not when the page draws it."""
    async with aclosing(stream):
        async for event in stream:
            if event.reasoning:
                watch.reasoning_arrived(event.came_at)
            if event.text:
                watch.text_arrived(event.came_at)
            yield event
