"""The `file_search` tool of the Responses API (https://platform.openai.com/docs/guides/tools-file-search).

The gateway relays a request with this tool to here. The passages are found before the model is asked, once:
it need not know how to call a tool. The answer gets a `file_search_call` item and citations. Where
`tool_choice` allows no search there is none.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import Field, ValidationError
from starlette.concurrency import run_in_threadpool

from common.closing_response import ClosingResponse
from common.documents_service import ON_BEHALF_ID
from common.doors import door
from common.errors import BadRequest, NotFound
from common.sse import DONE, read_events
from common.template_facts import TEMPLATES
from common.validation_message import invalid_body
from documents.answers.passage import Passage
from documents.answers.prompt import question_of, with_passages
from documents.service.chat import BODY_BYTES, fitting, json_body, read_answer
from documents.service.cited_response import CitedResponse, SearchCall
from documents.service.filters import Filter
from documents.service.searching import SearchedPassage, SearchResult, find, joined
from documents.service.service import Owner, OwnerDep, Service, ServiceDep, new_id
from documents.service.tool_choice import SEARCH, after_search, may_search
from documents.service.vector_stores import readable_store, require_living
from documents.service.wire import Id, RankingOptions, RequestBody, SearchRequest

router = APIRouter(prefix="/v1", tags=["answers"])
RESPONSES = "/v1/responses"
RESULTS = "file_search_call.results"
"""Member of `include` that asks for the passages themselves."""


class FileSearchTool(RequestBody):
    """The tool as clients ask for it."""

    type: Literal["file_search"]
    vector_store_ids: Annotated[list[Id], Field(min_length=1, max_length=10)]
    max_num_results: int = Field(default=5, ge=1, le=50)
    filters: Filter | None = None
    ranking_options: RankingOptions = RankingOptions()


@dataclass(frozen=True)
class _Search:
    """What was found for a request, and what the model is asked."""

    body: dict[str, Any]
    passages: list[Passage]
    call: SearchCall | None
    """None where `tool_choice` allows none."""


@router.post("/responses")
@door("key", body_bytes=BODY_BYTES)
async def respond(request: Request, service: ServiceDep, owner: OwnerDep) -> Any:
    """An answer, as a stream or whole."""
    asked = await json_body(request)
    search = await _searched(service, owner, asked)
    made = CitedResponse(search.call, search.passages, asked.get("request_id"), asked)
    asking = service.gateway.asked(RESPONSES, search.body, dict(request.headers))
    if not asked.get("stream"):
        async with asking as answer:
            return JSONResponse(await run_in_threadpool(made.whole, await read_answer(answer)))
    answer = await asking.__aenter__()  # errors before the first event have a status of their own

    async def events() -> AsyncIterator[bytes]:
        async for one in read_events(answer.aiter_bytes()):
            if one.data != DONE:
                for event in await _made(made, msgspec.json.decode(one.data)):
                    kind = str(event.get("type", "")).encode()
                    yield b"event: %b\ndata: %b\n\n" % (kind, msgspec.json.encode(event))

    return ClosingResponse(
        events(), lambda: asking.__aexit__(None, None, None), media_type="text/event-stream"
    )


async def _made(made: CitedResponse, event: dict[str, Any]) -> list[dict[str, Any]]:
    """Citations take Kiwi some milliseconds; a piece of text takes nothing."""
    if str(event.get("type")).endswith(".delta"):
        return made.events(event)
    return await run_in_threadpool(made.events, event)


async def _searched(service: Service, owner: Owner, asked: dict[str, Any]) -> _Search:
    """Raises ApiError for what cannot be searched."""
    tool = _tool(owner, asked)
    choice = asked.get("tool_choice")
    if not may_search(choice):
        return _Search(_relayed(asked, choice), [], None)
    messages = _messages(asked.get("input"))
    question = question_of(messages)
    if not question:
        raise BadRequest("There is no question of a user in input.", param="input", code="invalid_value")
    found = await run_in_threadpool(_find, service, owner, tool, question)
    card = await service.gateway.card(str(asked.get("model")))
    own = card is None or card.template not in TEMPLATES
    shown = [_shown(one) for one in found.passages]
    passages = fitting(shown, card.context_length if card is not None else None)
    body = _relayed(asked, after_search(choice))
    if passages:
        given = with_passages(messages, passages, own_template=own)
        if len(given) > len(messages):  # the Responses API has a place of its own for a system message
            said = asked.get("instructions")
            body["instructions"] = "\n\n".join(filter(None, [said, given.pop(0)["content"]]))
        body["input"] = given
    results = [one.wire() | {"text": one.hit.text} for one in found.passages]
    wanted = RESULTS in (asked.get("include") or [])
    call = SearchCall(new_id("fs_"), question, results if wanted else None, found.ranking.wire())
    return _Search(body, passages, call)


def _relayed(asked: dict[str, Any], choice: Any) -> dict[str, Any]:
    """The request without what is answered here. An engine takes no `tool_choice` without tools."""
    here = ("request_id", "tools", "include", "tool_choice")
    body = {name: value for name, value in asked.items() if name not in here}
    if others := [one for one in asked["tools"] if one.get("type") != SEARCH]:
        body["tools"] = others
        if choice is not None:
            body["tool_choice"] = choice
    if include := [one for one in asked.get("include") or [] if one != RESULTS]:
        body["include"] = include
    return body


def _tool(owner: Owner, asked: dict[str, Any]) -> FileSearchTool:
    if owner.id == ON_BEHALF_ID or "@" in str(asked.get("model")):
        raise NotFound("A model with documents answers chat completions alone.", code="unsupported_endpoint")
    if asked.get("previous_response_id") is not None:
        raise BadRequest(
            "Answers from documents are not kept: previous_response_id cannot be used with file_search.",
            hint="Send the conversation in `input`.",
            param="previous_response_id",
        )
    tools = asked.get("tools")
    named = [one for one in tools if isinstance(one, dict)] if isinstance(tools, list) else []
    searches = [one for one in named if one.get("type") == SEARCH]
    if len(searches) != 1 or not isinstance(tools, list) or len(named) != len(tools):
        raise BadRequest("tools takes one file_search.", param="tools", code="invalid_value")
    try:
        return FileSearchTool.model_validate(searches[0])
    except ValidationError as error:
        at = tools.index(searches[0])
        places = [{**one, "loc": ("tools", at, *one["loc"])} for one in error.errors()]
        raise invalid_body(places, asked) from error


def _messages(given: Any) -> list[dict[str, Any]]:
    """`input` as a list of items."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise BadRequest("input must be a text or a list of items.", param="input", code="invalid_value")
    return given


def _find(service: Service, owner: Owner, tool: FileSearchTool, question: str) -> SearchResult:
    """The best of all stores that are named. Raises NotFound for one that the owner may not read."""
    search = SearchRequest(
        query=question[:10_000],
        max_num_results=tool.max_num_results,
        filters=tool.filters,
        ranking_options=tool.ranking_options,
    )
    found: list[SearchResult] = []
    for store_id in dict.fromkeys(tool.vector_store_ids):
        row = readable_store(service.catalogue, owner, store_id)
        require_living(row)
        found.append(find(service, store_id, search))
    return joined(found, tool.max_num_results)


def _shown(found: SearchedPassage) -> Passage:
    hit = found.hit
    return Passage(
        found.file_id, found.filename, hit.text, hit.headings, hit.spans, hit.relevance, hit.problem
    )
