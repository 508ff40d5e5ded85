"""Ask one side's open question and give the side back, again and again, as the answer grows."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from webui.conversation import Side
from webui.gateway_client import ChatRequest, GatewayClient, GatewayError, StreamEvent
from webui.metrics import Stopwatch
from webui.pacing import batches


class Runs:
    """The answers that this process fetches now, so that Stop can end one and nobody fetches it twice."""

    def __init__(self) -> None:
        self._stops: dict[str, asyncio.Event] = {}
        self._fetching: set[str] = set()

    def announce(self, turn_id: str) -> None:
        """An answer will be fetched; from now on `stop` finds it."""
        self._stops.setdefault(turn_id, asyncio.Event())

    def claim(self, turn_id: str) -> asyncio.Event | None:
        """The event that ends the run, or None when somebody fetches this answer already."""
        if turn_id in self._fetching:
            return None
        self._fetching.add(turn_id)
        return self._stops.setdefault(turn_id, asyncio.Event())

    def end(self, turn_id: str) -> None:
        """The run is over."""
        self._stops.pop(turn_id, None)
        self._fetching.discard(turn_id)

    def stop(self, turn_id: str) -> bool:
        """Ask a run to stop. False when there is none, e.g. after a restart of this process."""
        event = self._stops.get(turn_id)
        if event is not None:
            event.set()
        return event is not None


async def answer(client: GatewayClient, side: Side, runs: Runs) -> AsyncGenerator[tuple[Side, float], None]:
    """The side with its open last turn growing, and the seconds waited for it.

    The last value is never `running`: it is done, stopped (by `runs`) or failed. Leaving the generator
    early, as a closed tab does, ends the request at the gateway.
    """
    turn = side.last
    if turn is None or turn.state != "running":
        return
    setup = turn.setup
    request = ChatRequest(setup.model, side.messages(), setup.sampling, setup.external)
    watch = Stopwatch()
    tokens: int | None = None
    stop = runs.claim(turn.id)
    if stop is None:
        return
    try:
        async with aclosing(batches(_timed(client.stream(request), watch), stop)) as stream:
            async for batch in stream:
                tokens = _last(batch, "completion_tokens") or tokens
                last = side.turns[-1]
                side = side.with_last(
                    answer=last.answer + "".join([event.text for event in batch]),
                    finish_reason=_last(batch, "finish_reason") or last.finish_reason,
                    request_id=_last(batch, "request_id") or last.request_id,
                    checkpoint=_last(batch, "checkpoint") or last.checkpoint,
                    metrics=watch.metrics(tokens),
                )
                yield side, watch.waited_s
        state = "stopped" if stop.is_set() and side.turns[-1].finish_reason is None else "done"
        yield side.with_last(state=state), watch.waited_s
    except GatewayError as error:
        failed = side.with_last(
            state="failed",
            failure=error.failure.model_copy(update={"external": setup.external}),
            request_id=error.failure.request_id or side.turns[-1].request_id,
        )
        yield failed, watch.waited_s
    finally:
        runs.end(turn.id)


def _last(batch: list[StreamEvent], name: str) -> Any:
    """The newest value of a field that an event has."""
    return next((value for event in reversed(batch) if (value := getattr(event, name))), None)


async def _timed(
    stream: AsyncGenerator[StreamEvent, None], watch: Stopwatch
) -> AsyncGenerator[StreamEvent, None]:
    """Tell the watch of a text when it comes, not when the page draws it."""
    async with aclosing(stream):
        async for event in stream:
            if event.text:
                watch.text_arrived()
            yield event
