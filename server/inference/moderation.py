"""One request under a moderation rule: what the user asks is looked at before an engine sees it, and what the
engine answers before the client does."""

import asyncio
import logging
from collections.abc import Collection, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import msgspec

from common.errors import BadRequest
from common.logs import with_fields
from server.client.large_body import ThinBody
from server.client.routes import RESPONSES, Route
from server.inference.moderated_client import ModeratedClient
from server.inference.moderator import Categories, Moderator, is_about, rule_for
from server.inference.outcome import ANSWERED, Ended
from server.inference.spoken_text import asked_texts
from server.record import BLOCKED, FLAGGED
from server.settings import ModerationRule
from server.upstreams.directory import Directory

if TYPE_CHECKING:
    from server.accounts.keys import Key
    from server.client.protocol import ClientConnection

logger = logging.getLogger(__name__)

LARGE_BYTES = 256 * 1024
"""A larger body is decoded beside the event loop."""


@dataclass(slots=True)
class Moderation:
    """What a rule does with one request."""

    moderator: Moderator
    rule: ModerationRule
    route: Route
    request_id: str
    code: str | None = None
    """For the record; None when nothing was found."""
    client: ModeratedClient | None = field(default=None)

    async def look_at_request(self, body: ThinBody) -> None:
        """Raises BadRequest for a prompt that is blocked."""
        if self.rule.looks_at == "output":
            return
        whole = body.whole(body.body)
        given = await asyncio.to_thread(_decoded, whole) if len(whole) > LARGE_BYTES else _decoded(whole)
        found = await self.moderator.look(asked_texts(given), self.rule)
        if self._is_blocked(found, "the request"):
            raise BadRequest(
                f"The request is withheld: it falls to {', '.join(sorted(found))}.", code=BLOCKED
            )

    def stand_before(self, client: "ClientConnection") -> "ClientConnection":
        """What exchanges are to write to: the client itself where its answers are not looked at."""
        if self.rule.looks_at == "input":
            return client
        self.client = ModeratedClient(client, self.route, self._look_at_answer)
        return cast("ClientConnection", self.client)

    async def watch(self, answering: Coroutine[object, object, Ended]) -> Ended:
        """Run the exchanges beside the look at what they bring; a blocked answer stops them."""
        if self.client is None:
            return await answering
        engine = asyncio.create_task(answering)
        looking = asyncio.create_task(self.client.run())
        try:
            await asyncio.wait([engine, looking], return_when=asyncio.FIRST_COMPLETED)
            if looking.done() and (looking.exception() is not None or self.client.blocked):
                looking.result()  # raises what went wrong
                return ANSWERED
            ended = await engine
            if self.client.began:
                await looking
            return ended
        finally:
            for task in (engine, looking):
                task.cancel()
            await asyncio.gather(engine, looking, return_exceptions=True)

    async def _look_at_answer(self, texts: list[str]) -> bool:
        return self._is_blocked(await self.moderator.look(texts, self.rule), "the answer")

    def _is_blocked(self, found: Categories, what: str) -> bool:
        if not found:
            return False
        blocks = self.rule.action == "block"
        self.code = BLOCKED if blocks else FLAGGED
        done = "withheld" if blocks else "flagged"
        fields = with_fields(request_id=self.request_id)
        logger.info("%s is %s: %s", what, done, ", ".join(sorted(found)), extra=fields)
        return blocks


def moderation_of(
    moderator: Moderator,
    rules: Sequence[ModerationRule],
    key: "Key",
    names: Collection[str],
    route: Route,
    request_id: str,
) -> Moderation | None:
    """What is to be done with a request for a model of these names; None for nothing. Only routes whose
    answers are texts are looked at."""
    if route.spends != "answer" or route.multipart:
        return None
    rule = rule_for(rules, key, names)
    return Moderation(moderator, rule, route, request_id) if rule is not None else None


def moderation_of_stored(
    moderator: Moderator, rules: Sequence[ModerationRule], key: "Key", request_id: str
) -> Moderation | None:
    """The same for a stored response. Its model is not known until it has come, so the key's first rule
    about answers applies, whatever models it names."""
    for rule in rules:
        if rule.looks_at != "input" and is_about(rule, key):
            return Moderation(moderator, rule, RESPONSES, request_id)
    return None


def names_of(directory: Directory, asked: str, target: str) -> set[str]:
    """All names of a model: as asked for, behind its alias, as its servers call it, with and without the
    provider, so that no rule is missed by another spelling."""
    names = {asked, target}
    for upstream in directory.serving(target):
        own = upstream.name_of(target)
        names |= {own, f"{upstream.id}/{own}"} if upstream.kind == "external" else {own}
    return names


def _decoded(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # the engine says what is wrong with it
