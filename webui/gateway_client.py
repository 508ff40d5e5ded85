"""The only door out of the web UI: one async HTTP client of the gateway.

Every failure, be it an HTTP error, an error frame inside a stream, a lost connection or a stream without
its end mark, is raised as one `GatewayError` that carries a `Failure`, so that pages handle it as data.
"""

import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2
import msgspec
from pydantic import BaseModel, ConfigDict, ValidationError

from common.feedback import Message, Rating, RequestFeedback, Vote
from common.sse import SseDecoder
from common.status import Status
from common.turns import Turns
from webui.chat_request import ChatRequest
from webui.failures import Failure, FailureKind, failure_kind
from webui.gateway_stream import (
    NO_REST,
    POOL_IDLE_S,
    GatewayConnection,
    GatewayStreams,
    Rest,
    StreamBroken,
    StreamLate,
)
from webui.storable import storable

STATUS_TIMEOUT_S = 2.0
CALL_TIMEOUT_S = 15.0
# The gateway has its own first-event and idle limits; this one only ends the wait for a gateway that hangs.
STREAM_IDLE_S = 600.0
MAX_EVENT_BYTES = 1024 * 1024
"""Longest event that is waited for: this client asks for text alone."""
PIECE_BYTES = 8192
"""How much of an answer is taken apart at once."""

STREAM_HEADERS = {"content-type": "application/json", "accept": "text/event-stream"}

M = TypeVar("M", bound=BaseModel)
H = TypeVar("H")


class GatewayError(Exception):
    """The gateway did not do what was asked."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True)
class StreamEvent:
    """What one server-sent event added; empty when it added nothing."""

    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    completion_tokens: int | None = None
    request_id: str | None = None
    checkpoint: str | None = None
    came_at: float | None = None
    """When it came, by `time.perf_counter`, where it was read later."""


class Prompt(BaseModel):
    """The final prompt of a conversation as the engine sees it."""

    model_config = ConfigDict(extra="ignore")
    prompt: str
    token_count: int


class GatewayClient:
    """Bound to one gateway; `aclose` when done. Many tasks may use it at once."""

    def __init__(
        self, url: str, api_key: str | None = None, *, key: Callable[[], str | None] | None = None
    ) -> None:
        """The key that `key` tells goes along with each request, else `api_key`."""
        self._key = key
        self.key_refused: Callable[[str], None] | None = None
        """Is told of a key of whoever is served that the gateway does not take."""
        self._own = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._streams = GatewayStreams(url.rstrip("/"))
        self._http = httpx2.AsyncClient(
            base_url=url.rstrip("/"),
            headers=self._own,
            timeout=httpx2.Timeout(CALL_TIMEOUT_S, connect=5.0),
            limits=httpx2.Limits(keepalive_expiry=POOL_IDLE_S),
            # A proxy in the environment is for the internet, not for the way to our own gateway.
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        self._streams.close()
        await self._http.aclose()

    async def status(self) -> Status:
        """What runs behind the gateway, within STATUS_TIMEOUT_S seconds. Raises GatewayError."""
        response = await self._request("GET", "/v1/status", timeout_s=STATUS_TIMEOUT_S)
        return _parse(Status, response)

    async def prompt(self, model: str, messages: Sequence[Message]) -> Prompt:
        """The exact prompt the engine gets for `messages`, and its tokens. Raises GatewayError."""
        body = {"model": model, "messages": [message.model_dump() for message in messages]}
        return _parse(Prompt, await self._request("POST", "/v1/prompt", body))

    async def get(
        self, path: str, params: Mapping[str, Any] | None = None, timeout_s: float = CALL_TIMEOUT_S
    ) -> dict[str, Any]:
        """The JSON object at a path. Raises GatewayError."""
        return _object(await self._request("GET", path, params=params, timeout_s=timeout_s))

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        form: Mapping[str, str] | None = None,
        files: Mapping[str, tuple[str, bytes]] | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> dict[str, Any]:
        """The JSON object that comes back for a body, or for a form with files: field -> (name, content).
        Raises GatewayError."""
        response = await self._request(method, path, body, timeout_s, form=form, files=files)
        return _object(response)

    async def send_vote(self, vote_id: str, vote: Vote) -> None:
        """Store a vote; the same id again replaces it. Raises GatewayError."""
        await self._request("PUT", f"/v1/feedback/votes/{vote_id}", vote.model_dump(mode="json"))

    async def delete_vote(self, vote_id: str) -> None:
        """Take a vote away; one that is not there is fine. Raises GatewayError."""
        await self._delete(f"/v1/feedback/votes/{vote_id}")

    async def send_rating(self, rating_id: str, rating: Rating) -> None:
        """Store a rating; the same id again replaces it. Raises GatewayError."""
        await self._request("PUT", f"/v1/feedback/ratings/{rating_id}", rating.model_dump(mode="json"))

    async def send_opinion(self, opinion: RequestFeedback) -> bool:
        """Store what somebody thinks of an answer; the same id again replaces it. Whether the conversation
        and what was written is kept, too. Raises GatewayError."""
        body = opinion.model_dump(mode="json", exclude_none=True)
        told = _object(await self._request("POST", "/v1/feedback", body))
        return told.get("conversation") == "kept"

    async def delete_rating(self, rating_id: str) -> None:
        """Take a rating away; one that is not there is fine. Raises GatewayError."""
        await self._delete(f"/v1/feedback/ratings/{rating_id}")

    async def _delete(self, path: str) -> None:
        try:
            await self._request("DELETE", path)
        except GatewayError as error:
            if error.failure.kind not in ("model_not_found", "no_such_address"):  # what a 404 is called
                raise

    async def stream(
        self, request: ChatRequest, rest: Callable[[], Rest] | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        """The answer as it grows. Returns normally only after the end mark. Raises GatewayError.

        `rest` says before each read for how long it may be put off. Closing the generator closes the
        connection, and with it the gateway's work.
        """
        request_id: str | None = None
        headers = STREAM_HEADERS | self._own | self._named() | request.headers()
        asking = self._streams.post(
            "/v1/chat/completions", headers, msgspec.json.encode(request.body()), STREAM_IDLE_S
        )
        try:
            async with asking as response:
                request_id = response.headers.get("x-request-id")
                if response.status != 200:
                    raise GatewayError(self._failure(await _whole(response)))
                checkpoint = response.headers.get("x-kodolly-checkpoint")
                yield StreamEvent(request_id=request_id, checkpoint=checkpoint)
                async with aclosing(_events(response, rest)) as events:
                    async for data in events:
                        if data == "[DONE]":
                            return
                        yield _stream_event(data, request_id, response.came_at)
        except StreamBroken as error:
            raise GatewayError(_broken_off(error, request_id)) from error
        raise GatewayError(
            Failure(kind="cut_off", message="The stream ended without its end mark.", request_id=request_id)
        )

    async def _request(
        self,
        method: str,
        path: str,
        body: Any = None,
        timeout_s: float = CALL_TIMEOUT_S,
        params: Mapping[str, Any] | None = None,
        form: Mapping[str, str] | None = None,
        files: Mapping[str, tuple[str, bytes]] | None = None,
    ) -> httpx2.Response:
        try:
            response = await self._http.request(
                method,
                path,
                json=body,
                params=params,
                data=form,
                files=files,
                headers=self._named(),
                timeout=timeout_s,
            )
        except httpx2.HTTPError as error:
            raise GatewayError(_transport_failure(error, None)) from error
        if not response.is_success:
            raise GatewayError(self._failure(response))
        return response

    def _named(self) -> dict[str, str]:
        """The headers that tell whose request it is."""
        key = self._key() if self._key else None
        return {"authorization": f"Bearer {key}"} if key else {}

    def _failure(self, response: httpx2.Response) -> Failure:
        failure = _http_failure(response)
        key = self._key() if self._key else None
        if not key or response.status_code != 401:
            return failure
        if self.key_refused is not None:
            self.key_refused(key)
        # Their key, not the page's: only they can mend it.
        return failure.model_copy(update={"kind": "login_ended"})


async def _whole(response: GatewayConnection) -> httpx2.Response:
    """An answer that is no stream. Raises StreamBroken."""
    body = bytearray()
    while piece := await response.read(CALL_TIMEOUT_S):
        body += piece
        if len(body) > MAX_EVENT_BYTES:
            raise StreamBroken("the answer is too long")
    return httpx2.Response(response.status, headers=response.headers, content=bytes(body))


async def _events(response: GatewayConnection, rest: Callable[[], Rest] | None) -> AsyncGenerator[str, None]:
    """The data of each event, letting others run between them. Raises GatewayError for one without an end,
    and StreamBroken."""
    decoder, turns = SseDecoder(), Turns()
    while True:
        await response.rest(rest() if rest else NO_REST)
        chunk = await response.read(STREAM_IDLE_S)
        if not chunk:
            return
        for at in range(0, len(chunk), PIECE_BYTES):
            for event in decoder.feed(chunk[at : at + PIECE_BYTES]):
                yield event.data
                if turns.due():
                    await turns.give_way()
            if turns.due():
                await turns.give_way()
        if decoder.size > MAX_EVENT_BYTES:
            request_id = response.headers.get("x-request-id")
            raise GatewayError(
                Failure(kind="cut_off", message="The stream holds an endless event.", request_id=request_id)
            )


def _parse(kind: type[M], response: httpx2.Response) -> M:
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        message = f"The gateway's answer is not a {kind.__name__} object."
        raise GatewayError(Failure(kind="other", message=message)) from error


def _object(response: httpx2.Response) -> dict[str, Any]:
    try:
        found = json.loads(response.content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        message = "The gateway's answer is no JSON object."
        raise GatewayError(Failure(kind="other", message=message))
    return found


def _stream_event(data: str, request_id: str | None, came_at: float) -> StreamEvent:
    try:
        event = json.loads(data)
        if not isinstance(event, dict):
            raise ValueError("an event is an object")
        if event.get("error") is not None:
            raise GatewayError(_error_failure(event, None, request_id))
        return _chunk(event, request_id, came_at)
    except (ValueError, RecursionError) as error:
        raise GatewayError(
            Failure(kind="cut_off", message="The stream holds a broken event.", request_id=request_id)
        ) from error


def _chunk(event: Mapping[str, Any], request_id: str | None, came_at: float) -> StreamEvent:
    """Raises ValueError for one of another form: what it says would be lost without a word."""
    choices = _held(event, "choices", list)
    choice = (choices[0] or {}) if choices else {}
    if not isinstance(choice, dict):
        raise ValueError("a choice is an object")
    finish_reason = _held(choice, "finish_reason", str)
    if finish_reason == "abort":
        # vLLM's word for a stream that the engine's shutdown ended: half an answer, not a finished one.
        raise GatewayError(
            Failure(kind="broke_off", message="The engine stopped while answering.", request_id=request_id)
        )
    delta = _held(choice, "delta", dict) or {}
    return StreamEvent(
        text=_words(delta, "content"),
        # vLLM's name of it today, and the one that vLLM had before and other servers still have.
        reasoning=_words(delta, "reasoning") or _words(delta, "reasoning_content"),
        finish_reason=finish_reason,
        completion_tokens=_held(_held(event, "usage", dict) or {}, "completion_tokens", int),
        came_at=came_at,
    )


def _held(found: Mapping[str, Any], name: str, kind: type[H]) -> H | None:
    """The value of this name; None where there is none or null. Raises ValueError for one of another kind."""
    value = found.get(name)
    if value is None or isinstance(value, kind):
        return value
    raise ValueError(f"{name} is no {kind.__name__}")


def _words(delta: Mapping[str, Any], name: str) -> str:
    words = delta.get(name)
    return storable(words) if isinstance(words, str) else ""


def _http_failure(response: httpx2.Response) -> Failure:
    try:
        body = json.loads(response.content)
    except ValueError:
        body = {}
    failure = _error_failure(body, response.status_code, response.headers.get("x-request-id"))
    try:
        retry_after = float(response.headers.get("retry-after", ""))
    except ValueError:
        retry_after = None
    return failure.model_copy(update={"retry_after_s": retry_after})


def _error_failure(body: object, status: int | None, request_id: str | None) -> Failure:
    error = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(error, Mapping) and status in (404, 405):
        return Failure(kind="no_such_address", message=f"HTTP {status}", request_id=request_id)
    if not isinstance(error, Mapping):
        error = {"message": f"HTTP {status} without an error object." if status else str(error)}
    kind: FailureKind = failure_kind(error.get("code"), status)
    return Failure(kind=kind, message=str(error.get("message") or ""), request_id=request_id)


def _transport_failure(error: httpx2.HTTPError, request_id: str | None) -> Failure:
    if isinstance(error, httpx2.ReadTimeout):
        return Failure(kind="timeout", message="The gateway did not answer in time.", request_id=request_id)
    return Failure(kind="gateway_down", message=type(error).__name__, request_id=request_id)


def _broken_off(error: StreamBroken, request_id: str | None) -> Failure:
    if isinstance(error, StreamLate):
        return Failure(kind="timeout", message="The gateway did not answer in time.", request_id=request_id)
    if request_id is not None:
        return Failure(kind="cut_off", message="The connection to the gateway broke.", request_id=request_id)
    return Failure(kind="gateway_down", message=str(error))
