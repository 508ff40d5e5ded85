"""One question to the gateway from the terminal, streamed."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2

from common.errors import UserError
from common.status import Status
from kodolly.clients.gateway_access import auth_headers


def default_model(status: Status) -> str:
    """The first ready tuned model, else the first ready one. Raises UserError when none is ready."""
    ready = [model for model in status.models if model.state == "ready"]
    tuned = [model for model in ready if model.base]
    if not ready:
        raise UserError("No model is ready.", hint="`kodolly models` shows their states.")
    return (tuned or ready)[0].id


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
            for line in answer.iter_lines():
                if line.startswith("data:") and line[5:].strip() != "[DONE]":
                    yield from _pieces(line[5:])
    except httpx2.HTTPError as error:
        raise UserError(
            f"The gateway at {gateway} cannot be reached.", hint="Is `kodolly up` running?"
        ) from error


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
