"""`my-dolly@handbook`: chat completions from documents.

The gateway relays a request for such a name to here, as to any worker. Here passages are found and put into
the question, the model behind the name is asked through the gateway, and its answer goes back with markers
checked and citations added. Tokens are those that the engine has counted.
"""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from common.closing_response import ClosingResponse
from common.documents_service import BOUND_MODELS, ON_BEHALF_ID
from common.doors import door
from common.errors import ApiError, BadRequest, NotFound, error_bytes
from common.sse import DONE, read_events
from common.template_facts import TEMPLATES
from documents.answers.citations import annotation, cited
from documents.answers.markers import MarkerFilter
from documents.answers.marks import harmless
from documents.answers.passage import Passage
from documents.answers.prompt import question_of, with_passages
from documents.service.bindings import binding, bindings
from documents.service.bound_passages import passages_for
from documents.service.ranking import Ranking
from documents.service.service import Owner, OwnerDep, Service, ServiceDep, new_id, now

router = APIRouter(prefix="/v1", tags=["answers"])
fallback = APIRouter(prefix="/v1")
"""Included last: its pattern matches every path."""
CHAT = "/v1/chat/completions"
BODY_BYTES = 16 * 1024 * 1024
SHARE_OF_CONTEXT = 0.5
"""How much of a model's context passages may take; a character is taken for a token, which is too much."""
MOST_CHARACTERS = 4000
"""Most characters of all passages together."""
NOTHING_FOUND = "문서에서 관련된 내용을 찾지 못했습니다."
LAST = b"data: [DONE]\n\n"


@router.get(BOUND_MODELS.removeprefix("/v1"))
@door("key")
def list_bound(service: ServiceDep) -> dict[str, Any]:
    """For the gateway: which names are answered here, and by which models."""
    data = [{"id": row["name"], "model": row["model"]} for row in bindings(service.catalogue)]
    return {"object": "list", "data": data}


@dataclass(frozen=True)
class Question:
    """A request with what was found for it."""

    name: str
    """The name of the model with documents."""
    body: dict[str, Any]
    passages: list[Passage]
    headers: dict[str, str]
    ranking: Ranking


@router.post("/chat/completions")
@door("key", body_bytes=BODY_BYTES)
async def complete(request: Request, service: ServiceDep, owner: OwnerDep) -> Any:
    """An answer, as a stream or whole."""
    question = await asked_question(request, service, owner)
    if not question.passages:
        return _nothing_found(question)
    asking = service.gateway.asked(CHAT, question.body, question.headers)
    if not question.body.get("stream"):
        async with asking as answer:
            return JSONResponse(await with_citations(await read_answer(answer), question))
    answer = await asking.__aenter__()  # errors before the first event have a status of their own

    events = cited_events(answer.aiter_bytes(), question)
    return ClosingResponse(events, lambda: asking.__aexit__(None, None, None), media_type="text/event-stream")


@fallback.api_route("/{path:path}", methods=["POST"], include_in_schema=False)
@door("key", body_bytes=BODY_BYTES)
async def other_route(path: str) -> None:
    """Other routes of engines."""
    raise NotFound(f"A model with documents does not answer /v1/{path}.", code="unsupported_endpoint")


async def asked_question(request: Request, service: Service, owner: Owner) -> Question:
    """Find passages for a request. Raises ApiError."""
    if owner.id == ON_BEHALF_ID:
        raise BadRequest("A model with documents cannot be asked through another one.", param="model")
    body = await json_body(request)
    messages = body.get("messages")
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise BadRequest("messages must be a list of messages.", param="messages", code="invalid_value")
    asked = question_of(messages)
    if not asked:
        raise BadRequest(
            "There is no question of a user in messages.", param="messages", code="invalid_value"
        )
    row = await run_in_threadpool(binding, service.catalogue, str(body.get("model")))
    found, ranking = await run_in_threadpool(passages_for, service, row["store"], asked)
    card = await service.gateway.card(row["model"])
    own = card is None or card.template not in TEMPLATES
    passages = fitting(found, card.context_length if card is not None else None)
    if passages:
        body["messages"] = with_passages(messages, passages, own_template=own)
    body["model"] = row["model"]
    return Question(row["name"], body, passages, dict(request.headers), ranking)


def fitting(passages: Sequence[Passage], context_length: int | None) -> list[Passage]:
    """The best of them that together leave room for question and answer; one at least, cut if need be."""
    room = MOST_CHARACTERS
    if context_length:
        room = min(room, int(context_length * SHARE_OF_CONTEXT))
    kept: list[Passage] = []
    for passage in passages:
        size = len(harmless(passage.text))
        if kept and size > room:
            break
        kept.append(passage)
        room -= size
    return kept


async def json_body(request: Request) -> dict[str, Any]:
    """The body, an object. Raises BadRequest."""
    try:
        body = msgspec.json.decode(await request.body())
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest("The body is not valid JSON.", code="invalid_json") from error
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.", code="invalid_json")
    return body


async def read_answer(answer: Any) -> dict[str, Any]:
    """A whole answer of the gateway."""
    read: dict[str, Any] = msgspec.json.decode(await answer.aread())
    return read


async def with_citations(answer: dict[str, Any], question: Question) -> dict[str, Any]:
    """A whole chat completion, its markers checked and citations added."""
    passages = question.passages
    for choice in answer.get("choices", ()):
        message = choice.get("message") or {}
        if isinstance(message.get("content"), str):
            markers = MarkerFilter(len(passages))
            message["content"] = markers.feed(message["content"]) + markers.end()
            message["annotations"] = await _annotations(message["content"], passages)
    return answer | {"model": question.name, "retrieval": question.ranking.wire()}


async def _annotations(text: str, passages: Sequence[Passage]) -> list[dict[str, Any]]:
    found = await run_in_threadpool(cited, text, passages)
    return [annotation(one, passages[one.number - 1]) for one in found]


@dataclass
class _Choice:
    """How far one choice of a stream is."""

    markers: MarkerFilter
    text: list[str] = field(default_factory=list)

    def passed(self, piece: str, *, last: bool) -> str:
        """What of it may go out."""
        out = self.markers.feed(piece) + (self.markers.end() if last else "")
        self.text.append(out)
        return out


async def cited_events(body: AsyncIterable[bytes], question: Question) -> AsyncIterator[bytes]:
    """The events of a chat stream, with checked markers; with the last word of a choice come its citations,
    and what their passages were ranked by.

    A failure after the first event is told as an event.
    """
    choices: dict[int, _Choice] = {}
    try:
        async for one in read_events(body):
            if one.data == DONE:
                continue
            event = msgspec.json.decode(one.data)
            if isinstance(event, dict):
                for choice in event.get("choices") or ():
                    await _pass(choice, choices, question.passages)
                    if choice.get("finish_reason") is not None:
                        event["retrieval"] = question.ranking.wire()
                if "model" in event:
                    event["model"] = question.name
            yield b"data: %b\n\n" % msgspec.json.encode(event)
    except ApiError as error:
        yield b"data: %b\n\n" % error_bytes(error)
    yield LAST


async def _pass(choice: dict[str, Any], choices: dict[int, _Choice], passages: Sequence[Passage]) -> None:
    state = choices.setdefault(int(choice.get("index", 0)), _Choice(MarkerFilter(len(passages))))
    delta = choice.setdefault("delta", {})
    last = choice.get("finish_reason") is not None
    content = delta.get("content")
    if isinstance(content, str) or last:
        out = state.passed(content if isinstance(content, str) else "", last=last)
        if out or isinstance(content, str):
            delta["content"] = out
    if last:
        delta["annotations"] = await _annotations("".join(state.text), passages)


def _nothing_found(question: Question) -> Any:
    """No passage has a word of the question: no model is asked what it could only make up."""
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    head = {"id": new_id("chatcmpl-"), "created": now(), "model": question.name}
    head |= {"retrieval": question.ranking.wire()}
    message = {"role": "assistant", "content": NOTHING_FOUND, "annotations": []}
    if not question.body.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return JSONResponse(head | {"object": "chat.completion", "choices": [choice], "usage": usage})
    chunk = head | {"object": "chat.completion.chunk"}
    options = question.body.get("stream_options")
    events = [
        chunk | {"choices": [{"index": 0, "delta": message, "finish_reason": None}]},
        chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    ]
    if isinstance(options, dict) and options.get("include_usage"):
        events.append(chunk | {"choices": [], "usage": usage})
    lines = [b"data: %b\n\n" % msgspec.json.encode(event) for event in events]
    return StreamingResponse(iter([*lines, LAST]), media_type="text/event-stream")
