"""One question to the gateway from the terminal, streamed."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx2

from common.errors import UserError
from common.sse import DONE, events_of
from common.status import Status
from kodolly.clients.gateway_access import auth_headers, fetch_status

ROUTES_OF = {
    "embedding": "/v1/embeddings",
    "rerank": "/v1/rerank and /v1/score",
    "classifier": "/classify",
    "moderation": "/v1/moderations",
}
"""Model kind -> the route for it, for kinds that do not chat."""


def default_model(status: Status) -> str:
    """The first ready tuned chat model, else the first ready one. Raises UserError when none is ready."""
    ready = [model for model in status.models if model.state == "ready" and model.may_chat]
    tuned = [model for model in ready if model.base]
    if not ready:
        raise UserError("No chat model is ready.", hint="`kodolly models` shows their states.")
    return (tuned or ready)[0].id


def refuse_other_kinds(gateway: str, names: Sequence[str]) -> None:
    """Raises UserError when one of `names` is known as a model that answers no questions."""
    try:
        status = fetch_status(gateway)
    except UserError:
        return  # the question itself will fail, and the gateway then says why
    kinds = {model.id: model.model_kind for model in status.models if not model.may_chat}
    for name in names:
        if kind := kinds.get(name):
            raise UserError(
                f"{name} is no chat model, but one of kind {kind}: it answers {ROUTES_OF[kind]}.",
                hint="`kodolly models` shows the kinds.",
            )


def stream_answer(gateway: str, body: dict[str, Any]) -> Iterator[str]:
    """Pieces of the answer as they come. Raises UserError with the gateway's own words."""
    # No read limit here: the gateway ends what hangs, and says so.
    timeout = httpx2.Timeout(5.0, read=None)
    try:
        with (
            httpx2.Client(timeout=timeout, headers=auth_headers(), trust_env=False) as client,
            client.stream("POST", f"{gateway}/v1/chat/completions", json=body | {"stream": True}) as answer,
        ):
            if answer.status_code != 200:
                raise UserError(_message(answer.read()))
            for event in events_of(answer.iter_bytes()):
                if event.data != DONE:
                    yield from _pieces(event.data)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise UserError(
            f"The gateway at {gateway} cannot be reached.", hint="Is `kodolly up` running?"
        ) from error


def whole_answer(gateway: str, body: dict[str, Any]) -> dict[str, Any]:
    """The message that answers, with what stands beside its text. Raises UserError."""
    timeout = httpx2.Timeout(5.0, read=None)
    try:
        answer = httpx2.post(
            f"{gateway}/v1/chat/completions",
            json=body,
            headers=auth_headers(),
            timeout=timeout,
            trust_env=False,
        )
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise UserError(
            f"The gateway at {gateway} cannot be reached.", hint="Is `kodolly up` running?"
        ) from error
    if answer.status_code != 200:
        raise UserError(_message(answer.content))
    message: dict[str, Any] = answer.json()["choices"][0]["message"]
    return message


def _pieces(data: str) -> Iterator[str]:
    event = json.loads(data)
    if "error" in event:
        raise UserError(_message(data.encode()))
    for choice in event.get("choices", ()):
        if text := choice.get("delta", {}).get("content"):
            yield text


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return "The gateway answered with an error that is not in OpenAI's form."
