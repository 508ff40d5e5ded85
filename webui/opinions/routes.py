"""POST /page/answers/{id}/opinion: what the reader of an answer thinks of it.

The page sends what has changed. It is kept beside the answer first, so that a gateway that is away costs
nobody their words, and then told the gateway whole, under the answer's own id.
"""

from typing import Annotated, Self

from fastapi import FastAPI, Path, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.database import StoreFailed
from common.doors import door
from common.feedback import Comment, Correction, RequestFeedback, Tag, Thumb
from webui.conversation import Mark, dump
from webui.failures import Failure, advice, headline
from webui.gateway_client import GatewayClient, GatewayError
from webui.session import sender
from webui.store.opinions import JudgedTurn
from webui.store.page_store import PageStore
from webui.texts import Lang, language, text

OPINION_BYTES = 2 * 1024 * 1024
"""A correction of the greatest length, each character escaped."""
SAID_BY_THE_GATEWAY = ("refused", "model_not_found")
"""Kinds of failures whose own words speak of questions to models: the gateway says what it was."""
AnswerId = Annotated[str, Path(max_length=64)]


class Changes(BaseModel):
    """What has changed of an opinion; null takes a part of it back. Where nothing has, what is kept is sent
    again."""

    model_config = ConfigDict(extra="forbid")
    score: int | None = Field(default=None, ge=1, le=5)
    thumb: Thumb | None = None
    tags: list[Tag] = Field(default=[], max_length=6)
    comment: Comment | None = None
    correction: Correction | None = None

    @model_validator(mode="after")
    def _says_more_than_spaces(self) -> Self:
        for name in ("comment", "correction"):
            if name in self.model_fields_set and not (getattr(self, name) or "").strip():
                setattr(self, name, None)
        return self


class OpinionDesk:
    """Keeps opinions and tells the gateway."""

    def __init__(self, client: GatewayClient, store: PageStore) -> None:
        self._client = client
        self._store = store

    async def take(self, user: str, answer_id: str, changes: Changes, lang: Lang) -> tuple[Mark, str] | None:
        """The opinion as it is now, and a sentence on what became of it; None where there is nothing to
        judge. Raises StoreFailed."""
        changed = changes.model_dump(exclude_unset=True)
        judged = await self._store.opinions.change(user, answer_id, changed)
        if judged is None:
            return None
        try:
            kept = await self._tell(user, answer_id, judged, lang)
        except GatewayError as error:
            return judged.mark, text(lang, "opinion_unsent", reason=_reason(error.failure, lang))
        await self._store.opinions.note_sent(user, answer_id, judged.mark)
        return judged.mark.model_copy(update={"sent": True}), text(lang, _outcome(judged.mark, changed, kept))

    async def _tell(self, user: str, answer_id: str, judged: JudgedTurn, lang: Lang) -> bool:
        """Whether the gateway keeps words, too. Raises GatewayError."""
        mark, answer = judged.mark, judged.side.judged(judged.index)
        if not mark.says_something:
            await self._client.delete_rating(answer_id)
            return True
        opinion = RequestFeedback.model_validate(
            {
                **mark.model_dump(exclude={"sent"}),
                "id": answer_id,
                # One that an old version kept may have none: the model's name is enough for the gateway then.
                "request_id": answer.request_id or answer_id,
                "model": answer.model,
                "checkpoint": answer.checkpoint,
                "messages": answer.messages,
                "answer": answer.answer,
                "finish_reason": answer.finish_reason,
                "locale": lang,
                "rater_id": await self._store.users.rater_id(user),
            }
        )
        return await self._client.send_opinion(opinion)


def _outcome(mark: Mark, changed: dict[str, object], kept: bool) -> str:
    if not mark.says_something:
        return "opinion_withdrawn"
    if not kept and (mark.comment or mark.correction):
        return "opinion_words_not_kept"
    return "opinion_corrected" if changed.get("correction") else "opinion_saved"


def _reason(failure: Failure, lang: Lang) -> str:
    if failure.kind in SAID_BY_THE_GATEWAY and failure.message:
        return failure.message
    return f"{headline(failure, lang)} {advice(failure, lang)}"


def add_opinions(app: FastAPI, client: GatewayClient, store: PageStore) -> None:
    """Put the route into `app`."""
    desk = OpinionDesk(client, store)

    @app.post("/page/answers/{answer_id}/opinion")
    @door("public", body_bytes=OPINION_BYTES)
    async def opinion(request: Request, answer_id: AnswerId, changes: Changes) -> Response:
        user = sender(request.headers.get("cookie"), request.state)
        lang = language(request.headers.get("accept-language"))
        if user is None:
            return PlainTextResponse(text(lang, "no_cookie"), 401)
        try:
            taken = await desk.take(user, answer_id, changes, lang)
        except StoreFailed:
            return PlainTextResponse(text(lang, "store_failed"), 503)
        if taken is None:
            return PlainTextResponse(text(lang, "opinion_gone"), 404)
        mark, note = taken
        return JSONResponse({"mark": dump(mark), "note": note})
