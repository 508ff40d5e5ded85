"""Does for studies what nobody waits for: fetches answers ahead and sends judgements to the gateway.

All of it asks with the page's own key, whoever judges: a judgement that is sent twice, by two processes or
after a restart, is then the same row at the gateway.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar
from uuid import UUID, uuid5

from common.database import StoreFailed
from common.feedback import Rating, Vote
from webui.answering import answer
from webui.conversation import Side
from webui.failures import Failure, FailureKind
from webui.gateway_client import GatewayClient, GatewayError
from webui.store.study_errands import LEASE, AnswerErrand, JudgementErrand, StudyErrands

logger = logging.getLogger(__name__)

E = TypeVar("E")
ANSWERS_AT_ONCE, JUDGEMENTS_AT_ONCE = 4, 4
SEND_S = LEASE.total_seconds() - 1
"""A call that took longer could arrive behind another process's newer word."""
LONGEST_WAIT_S = 60.0
PASSING: frozenset[FailureKind] = frozenset(
    {"gateway_down", "not_ready", "rate_limited", "overloaded", "upstream_failed"}
)
"""Failures that end by themselves: they are waited out, however long it takes."""
PASSING_S = 10.0
"""Between two questions to a model that such a failure keeps from answering."""
NO_ANSWER = Failure(kind="other", message="The model answered with nothing.")
UNREADABLE = Failure(kind="other", message="The model's answer could not be read.")


class StudyWork:
    """One process's part of it. It rests while there is nothing to do, until `wake`."""

    def __init__(self, client: GatewayClient, errands: StudyErrands) -> None:
        """`client` asks with the page's own key."""
        self._client, self._errands = client, errands
        self._answers = Errander(errands.answers_to_fetch, self._fetch, errands.next_answer, ANSWERS_AT_ONCE)
        self._judgements = Errander(
            errands.judgements_to_send, self._send, errands.next_judgement, JUDGEMENTS_AT_ONCE
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """What is under way at the end of the block is left to the next process."""
        async with self._answers.running(), self._judgements.running():
            yield

    def wake(self) -> None:
        """There may be something to do."""
        self._answers.wake()
        self._judgements.wake()

    async def _fetch(self, errand: AnswerErrand) -> None:
        try:
            await self._fetch_whole(errand)
        except StoreFailed:
            raise
        except Exception:  # a model that is asked may cost money: never again and again without an end
            logger.exception("An answer of a study ended by an error of this program")
            failed = errand.turn.model_copy(update={"state": "failed", "failure": UNREADABLE})
            await self._errands.not_fetched(errand, failed, backoff(errand.attempts), counts=True)

    async def _fetch_whole(self, errand: AnswerErrand) -> None:
        side, renewed = Side(turns=(errand.turn,)), time.monotonic()
        async with aclosing(answer(self._client, side, asyncio.Event())) as growing:
            async for grown, _ in growing:
                side = grown
                if time.monotonic() - renewed > LEASE.total_seconds() / 4:
                    if not await self._errands.still_fetching(errand):
                        return
                    renewed = time.monotonic()
        turn = side.turns[-1]
        if turn.complete:
            await self._errands.fetched(errand, turn)
            return
        failure = turn.failure or NO_ANSWER
        failed = turn.model_copy(update={"state": "failed", "failure": failure})
        counts = failure.kind not in PASSING
        wait = backoff(errand.attempts) if counts else timedelta(seconds=failure.retry_after_s or PASSING_S)
        await self._errands.not_fetched(errand, failed, wait, counts=counts)

    async def _send(self, errand: JudgementErrand) -> None:
        try:
            async with asyncio.timeout(SEND_S):
                await send_judgement(self._client, errand)
        except (GatewayError, TimeoutError, ValueError) as error:  # ValueError: it fits no vote or rating
            if errand.attempts == 0:
                logger.warning("A judgement of a study waits: %r", error)
            await self._errands.not_sent(errand, backoff(errand.attempts))
        else:
            await self._errands.sent(errand)


class Errander(Generic[E]):
    """Takes errands from the store and does some at once."""

    def __init__(
        self,
        take: Callable[[int], Awaitable[Sequence[E]]],
        do: Callable[[E], Awaitable[None]],
        next_due: Callable[[], Awaitable[datetime | None]],
        at_once: int,
    ) -> None:
        self._take, self._do, self._next_due, self._at_once = take, do, next_due, at_once
        self._woken = asyncio.Event()
        self._doing: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Look into the store."""
        self._woken.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Errands are done within the block."""
        looking = asyncio.create_task(self._look_again_and_again())
        try:
            yield
        finally:
            tasks = {looking, *self._doing}
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _look_again_and_again(self) -> None:
        failures = 0
        while True:
            self._woken.clear()
            try:
                wait_s = await self._look()
                failures = 0
            except StoreFailed:
                wait_s = backoff(failures).total_seconds()
                failures += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()

    async def _look(self) -> float | None:
        """Begin what can be begun; after how many seconds to look again, None for not before `wake`."""
        free = self._at_once - len(self._doing)
        for errand in await self._take(free) if free else ():
            task = asyncio.create_task(self._done(errand))
            self._doing.add(task)
            task.add_done_callback(self._ended)
        if len(self._doing) == self._at_once:
            return None
        due = await self._next_due()
        return max(0.05, (due - datetime.now(UTC)).total_seconds()) if due else None

    async def _done(self, errand: E) -> None:
        try:
            await self._do(errand)
        except StoreFailed as error:
            logger.error("An errand of a study is left for later: %s", error)
        except Exception:
            logger.exception("An errand of a study ended by an error of this program")

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._doing.discard(task)
        self.wake()


def backoff(attempts: int) -> timedelta:
    """How long to wait after that many failures and one more."""
    return timedelta(seconds=min(LONGEST_WAIT_S, 2.0 ** min(attempts, 10)))


async def send_judgement(client: GatewayClient, errand: JudgementErrand) -> None:
    """As a vote, or as a rating of each answer, under ids that are the same at every try. Raises
    GatewayError."""
    said = errand.judgement
    about = {
        "blind": errand.study.blind,
        "rater_id": errand.rater,
        "session_id": errand.study.id,
        "locale": said.locale,
        "category": errand.prompt.category,
    }
    judged = [Side(turns=(turn,)).judged() for turn in errand.answers]
    if said.choice is not None:
        vote = Vote.model_validate({**about, "choice": said.choice, "left": judged[0], "right": judged[1]})
        await client.send_vote(errand.task, vote)
        return
    for turn, answer_given, score in zip(errand.answers, judged, said.scores, strict=True):
        rating = Rating.model_validate({**about, "score": score, "answer": answer_given})
        await client.send_rating(str(uuid5(UUID(errand.task), turn.id)), rating)
