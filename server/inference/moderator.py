"""Asks a moderation model about texts, over the gateway's own connections, under a rule."""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from common.errors import ApiError, ModelNotReady
from server.settings import ModerationRule
from server.upstreams import choice
from server.upstreams.connect import ConnectFailed
from server.upstreams.connection import Broken, Connection, ConnectionPool
from server.upstreams.directory import Directory
from server.upstreams.upstream import Upstream

if TYPE_CHECKING:
    from server.accounts.keys import Key

logger = logging.getLogger(__name__)

PATH = b"/v1/moderations"
ANSWER_LIMIT_S = 10.0
ANSWER_BYTES = 16 * 1024 * 1024
MOST_TEXTS = 2000
_RANKS: Mapping[object, int] = {"low": 1, "medium": 2, "high": 3}
Categories = frozenset[str]
"""Categories and classes that a text falls to and the rule is about; none: it may pass."""


def is_about(rule: ModerationRule, key: "Key") -> bool:
    """Whether the rule is about this key."""
    return rule.keys is None or key.id in rule.keys or key.name in rule.keys


def rule_for(rules: Sequence[ModerationRule], key: "Key", names: Collection[str]) -> ModerationRule | None:
    """The first rule that is about this key and one of the model's names; None leaves the request alone."""
    for rule in rules:
        if is_about(rule, key) and (rule.models is None or any(name in rule.models for name in names)):
            return rule
    return None


def found_in(result: object, rule: ModerationRule) -> Categories:
    """What one result of a moderation model says that the rule is about."""
    if not isinstance(result, dict) or not isinstance(result.get("categories"), dict):
        raise ModelNotReady("The moderation model gives no categories.", code="moderation_unavailable")
    names = {name for name, reached in result["categories"].items() if reached is True}
    levels = result.get("category_levels")
    if rule.level != "low" and isinstance(levels, dict):
        names = {name for name in names if _RANKS.get(levels.get(name), 0) >= _RANKS[rule.level]}
    return frozenset(names if rule.categories is None else names.intersection(rule.categories))


@dataclass(slots=True)
class _Reply:
    """Receiver of one whole answer (`upstreams.connection.Receiver`)."""

    done: "asyncio.Future[bytes]"
    is_stream: bool = False
    status: int = 0
    parts: list[bytes] = field(default_factory=list)
    size: int = 0

    def on_head(self, status: int, _headers: list[tuple[bytes, bytes]]) -> None:
        self.status = status

    def on_chunks(self, _data: bytes) -> int:
        return 0

    def on_data(self, data: bytes) -> None:
        self.size += len(data)
        if self.size <= ANSWER_BYTES:
            self.parts.append(data)

    def on_end(self) -> None:
        if not self.done.done():
            self.done.set_result(b"".join(self.parts))

    def on_broken(self, error: Broken) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(frozen=True, slots=True)
class Moderator:
    """Shared by all requests."""

    directory: Directory
    pool: ConnectionPool

    async def look(self, texts: Sequence[str], rule: ModerationRule) -> Categories:
        """The rule's categories that any of `texts` falls into. Where the moderation model does not
        answer, a rule that blocks raises ModelNotReady; one that only flags lets the text pass."""
        if not texts:
            return frozenset()
        try:
            found: Categories = frozenset()
            for first in range(0, len(texts), MOST_TEXTS):
                for result in await self._results(texts[first : first + MOST_TEXTS], rule.model):
                    found |= found_in(result, rule)
            return found
        except ApiError as error:
            logger.warning("moderation by %s: %s", rule.model, error.message)
            if rule.action == "flag":
                return frozenset()
            raise ModelNotReady(
                "What is asked and answered here is looked at first, and the model for that does not answer.",
                code="moderation_unavailable",
            ) from error

    async def _results(self, texts: Sequence[str], model: str) -> list[object]:
        target = choice.resolve(self.directory, model)
        for upstream in choice.candidates(self.directory, target)[:2]:
            body = msgspec.json.encode({"model": upstream.name_of(target), "input": texts})
            well: bool | None = False
            ticket = upstream.standing.begin()
            try:
                status, answer = await _ask(self.pool, upstream, body)
                well = status < 500
            except ConnectFailed as error:
                well = None if error.ours else False
                continue
            except (Broken, TimeoutError):
                continue
            finally:
                upstream.standing.end(ticket, well)
            results = _decoded(answer) if status == 200 else None
            if results is not None and len(results) == len(texts):
                return results
        raise ModelNotReady(f"The moderation model {model!r} does not answer.", code="moderation_unavailable")


async def _ask(pool: ConnectionPool, upstream: Upstream, body: bytes) -> tuple[int, bytes]:
    head = upstream.request_head(b"POST", PATH)
    head += b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    async with asyncio.timeout(ANSWER_LIMIT_S):
        if (connection := pool.idle(upstream.origin)) is not None:
            try:
                return await _exchange(connection, head, body)
            except Broken as error:
                if not error.stale:
                    raise
        return await _exchange(await pool.connect(upstream.origin), head, body)


async def _exchange(connection: Connection, head: bytes, body: bytes) -> tuple[int, bytes]:
    reply = _Reply(asyncio.get_running_loop().create_future())
    try:
        connection.request(head, body, reply)
        answer = await reply.done
    except asyncio.CancelledError:
        connection.abandon()
        raise
    return reply.status, answer


def _decoded(answer: bytes) -> list[object] | None:
    try:
        results = msgspec.json.decode(answer)["results"]
    except (msgspec.DecodeError, KeyError, TypeError, RecursionError):
        return None
    return results if isinstance(results, list) else None
