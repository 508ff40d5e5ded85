"""GET /page/answers: what is new of the answers that a page shows, and its scripts beside it.

    ?a=ID&a=ID~12~0    everything of the first; of the second what comes after 12 characters and no reasoning

Each line of what comes back is a JSON object: the first at once, or as soon as there is something new, the
others as the answers grow. No request is held for longer than HOLD_S: a browser gives a host six connections,
to all its tabs together.
"""

import hashlib
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

from common.database import StoreFailed
from common.doors import Door, door
from common.errors import BadRequest
from webui.answering import Answering, Grown
from webui.conversation import dump
from webui.render import failure_card, metrics_line, note, thought
from webui.session import sender
from webui.store.conversations import Conversations
from webui.texts import Lang, language, text

HOLD_S = 0.5
"""How long a page is told what is new in one request."""
REST_MS = 30
"""Between two requests of a page while an answer grows: others have a turn."""
ELSEWHERE_MS = 500
"""The same while another process fetches it: what it wrote to the store is looked at."""
MOST_ASKED = 100

MODULES = ("answers.js", "attach.js", "history.js", "picture.js", "share_link.js", "shortcuts.js", "sides.js")
"""The scripts that every page has."""

ASSETS = Door("public")
"""Of the pages' scripts."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One answer, and how many characters of it and of its reasoning the page has; None before the first."""

    id: str
    has: tuple[int, int] | None


def asked_in(values: Sequence[str]) -> list[Asked]:
    """The answers that `a=` names. Raises BadRequest."""
    if len(values) > MOST_ASKED:
        raise BadRequest(f"A page asks for at most {MOST_ASKED} answers at once.")
    found: list[Asked] = []
    for value in values:
        turn_id, *has = value.split("~")
        if len(turn_id) > 64 or not all(part.isdecimal() and len(part) < 12 for part in has):
            raise BadRequest("`a` is the id of an answer, or id~characters~characters.")
        found.append(Asked(turn_id, (int(has[0]), int(has[1])) if len(has) == 2 else None))
    return found


class AnswerFeed:
    """Tells pages how their answers grow: some from memory, others from the store."""

    def __init__(self, answering: Answering, conversations: Conversations) -> None:
        self._answering = answering
        self._conversations = conversations

    async def tell(self, user: str, asked: Sequence[Asked], lang: Lang) -> dict[str, Any]:
        """What is new of each answer, and in how many milliseconds to ask again. Raises StoreFailed."""
        here = self._here(user, asked)
        if here and len(here) == len(asked) and not any(_is_new(here[one.id], one) for one in asked):
            await self._answering.news(here, HOLD_S)
            here = self._here(user, asked)
        missing = [one.id for one in asked if one.id not in here]
        kept = await self._kept(user, missing) if missing else {}
        known = {**here, **kept}
        asked = [one for one in asked if one.id not in kept or not _is_behind(kept[one.id], one)]
        replies = [reply(one, known[one.id], lang) if one.id in known else _gone(one) for one in asked]
        return {"answers": replies, "wait_ms": REST_MS if here else ELSEWHERE_MS}

    async def follow(
        self, user: str, asked: Sequence[Asked], lang: Lang
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The same, and within HOLD_S whatever else comes of the answers that this process fetches. Raises
        StoreFailed, before the first value."""
        until = time.monotonic() + HOLD_S
        told = await self.tell(user, asked, lang)
        at = _running(told["answers"])
        yield told
        while self._here(user, at.values()) and (left_s := until - time.monotonic()) > 0:
            await self._answering.news(at, left_s)
            here = self._here(user, at.values())
            new = [reply(at[key], grown, lang) for key, grown in here.items() if _is_new(grown, at[key])]
            if new:
                yield {"answers": new, "wait_ms": REST_MS}
            at = {key: one for key, one in at.items() if key not in {each["id"] for each in new}}
            at |= _running(new)

    def _here(self, user: str, asked: Iterable[Asked]) -> dict[str, Grown]:
        """Those that this process fetches."""
        return {one.id: grown for one in asked if (grown := self._answering.look(user, one.id)) is not None}

    async def _kept(self, user: str, answer_ids: Sequence[str]) -> Mapping[str, Grown]:
        found = await self._conversations.answers(user, answer_ids)
        return {key: Grown(shown.turn, 0.0, shown.hidden, shown.mark) for key, shown in found.items()}


def _running(replies: Iterable[Mapping[str, Any]]) -> dict[str, Asked]:
    """What is to be asked for next, by id."""
    return {told["id"]: Asked(told["id"], told["to"]) for told in replies if told["state"] == "running"}


def _is_new(grown: Grown, asked: Asked) -> bool:
    turn = grown.turn
    return turn.state != "running" or asked.has != (len(turn.answer), len(turn.reasoning))


def _is_behind(kept: Grown, asked: Asked) -> bool:
    """Whether the page has as much already, from the process that fetches the answer."""
    turn, has = kept.turn, asked.has
    if has is None or turn.state != "running":
        return False
    return len(turn.answer) <= has[0] and len(turn.reasoning) <= has[1]


def reply(asked: Asked, grown: Grown, lang: Lang) -> dict[str, Any]:
    """What is new of one answer for a page, as JSON."""
    turn, has = grown.turn, asked.has or (0, 0)
    if has[0] > len(turn.answer) or has[1] > len(turn.reasoning):
        has = (0, 0)  # the process that fetched it was killed before it wrote what this page has seen
    told = {
        "id": turn.id,
        "from": has,
        "to": (len(turn.answer), len(turn.reasoning)),
        "text": turn.answer[has[0] :],
        "reasoning": turn.reasoning[has[1] :],
        "state": turn.state,
        "hidden": grown.hidden,
        "line": metrics_line(turn, grown.waited_s, lang, hidden=grown.hidden),
        "card": failure_card(turn.failure, lang, names_hidden=grown.hidden),
        "note": note(turn, lang),
        "thought": thought(turn, lang, hidden=grown.hidden),
    }
    return told if asked.has else told | _told_once(grown)


def _told_once(grown: Grown) -> dict[str, Any]:
    turn, hidden = grown.turn, grown.hidden
    model = "" if hidden else turn.setup.model
    files = [{"id": file.id, "kind": file.kind, "name": file.name} for file in turn.files]
    asked = {"question": turn.question, "context": turn.context, "files": files}
    return asked | {"model": model, "mark": dump(grown.mark)}


def _gone(asked: Asked) -> dict[str, Any]:
    nothing = {"text": "", "reasoning": "", "line": "", "card": "", "note": "", "thought": ""}
    at = asked.has or (0, 0)
    return {"id": asked.id, "from": at, "to": at, "state": "gone"} | nothing


def add_answer_feed(app: FastAPI, feed: AnswerFeed) -> None:
    """Put the route into `app`."""

    @door("public")
    async def answers(request: Request) -> Response:
        user = sender(request.headers.get("cookie"), request.state)
        lang = language(request.headers.get("accept-language"))
        if user is None:
            return Response(text(lang, "no_cookie"), 401)
        try:
            asked = asked_in(request.query_params.getlist("a"))
            following = feed.follow(user, asked, lang)
            first = await anext(following)
        except BadRequest as error:
            return Response(str(error), 400)
        except StoreFailed:
            return Response(text(lang, "store_failed"), 503)
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return Lines(first, following, headers)

    # Starlette's route: FastAPI's takes longer to find that nothing is to be checked.
    app.add_route("/page/answers", answers, methods=["GET"])


class Lines(Response):
    """JSON objects, a line each. Starlette's streams begin two tasks each, to notice at once that nobody
    reads any more: this one ends by itself in HOLD_S."""

    media_type = "application/x-ndjson"

    def __init__(
        self,
        first: dict[str, Any],
        following: AsyncGenerator[dict[str, Any], None],
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._first, self._following = first, following

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._following):
            await send(_line(self._first))
            async for told in self._following:
                await send(_line(told))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _line(told: dict[str, Any]) -> Message:
    return {"type": "http.response.body", "body": msgspec.json.encode(told) + b"\n", "more_body": True}


class Assets(StaticFiles):
    """Files that never change under their address: it has a digest of all of them."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """With leave to keep it for a year."""
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response

    def get_path(self, scope: Scope) -> str:
        """The file's path below the digest."""
        return super().get_path(scope).partition("/")[2]


def add_assets(app: FastAPI) -> str:
    """Serve the pages' scripts from `app`; returns what stands in the head of each page."""
    with as_file(files("webui") / "assets") as folder:
        app.mount("/page/assets", Assets(directory=folder))
        # In the page itself: it is there before the question box is.
        composer = (folder / "composer.js").read_text(encoding="utf-8")
    modules = "".join(f'<script type="module" src="{assets_address()}/{name}"></script>' for name in MODULES)
    return f"<script>{composer}</script>{modules}"


@cache
def assets_address() -> str:
    """Where the pages' scripts lie, for a page on the top level."""
    with as_file(files("webui") / "assets") as folder:
        return f"./page/assets/{_digest(folder)}"


def _digest(folder: Path) -> str:
    made = hashlib.sha256()
    for path in sorted(folder.rglob("*.*")):
        if path.is_file():
            made.update(path.read_bytes())
    return made.hexdigest()[:16]
