"""The exact prompt that a worker makes of a conversation: rendered and counted by the engine itself."""

from collections.abc import Collection
from typing import TypeVar

import httpx2
import msgspec

from common.errors import NotFound
from server.inference import upstream_errors
from server.upstreams.choice import candidates, resolve
from server.upstreams.directory import Directory
from server.upstreams.upstream import Upstream


class _Tokens(msgspec.Struct):
    tokens: list[int]


class _Detokenized(msgspec.Struct):
    prompt: str


AnswerT = TypeVar("AnswerT", _Tokens, _Detokenized)


async def preview_prompt(
    directory: Directory,
    http: httpx2.AsyncClient,
    model: str,
    known: Collection[str] | None,
    messages: list[dict[str, object]],
) -> tuple[str, int]:
    """(final prompt text, number of tokens); `known` are the names that whoever asks may use, None for all.
    Raises ApiError; an external provider reveals neither."""
    model = resolve(directory, model, known)
    upstream = candidates(directory, model)[0]
    if upstream.kind == "external":
        raise NotFound(
            f"The provider {upstream.id!r} does not reveal its final prompt.", code="prompt_unavailable"
        )
    asked: dict[str, object] = {"model": model, "messages": messages}
    tokens = (await _post(http, upstream, "/tokenize", asked, _Tokens)).tokens
    text = await _post(http, upstream, "/detokenize", {"model": model, "tokens": tokens}, _Detokenized)
    return text.prompt, len(tokens)


async def _post(
    http: httpx2.AsyncClient, upstream: Upstream, path: str, payload: dict[str, object], kind: type[AnswerT]
) -> AnswerT:
    key = upstream.reported.key.get_secret_value()
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        answer = await http.post(upstream.reported.url + path, json=payload, headers=headers)
    except httpx2.TimeoutException as error:
        raise upstream_errors.too_slow(upstream, http.timeout.read or 0.0) from error
    except httpx2.HTTPError as error:
        raise upstream_errors.unreachable(upstream) from error
    if answer.status_code >= 400:
        raise upstream_errors.from_response(upstream, answer.status_code, answer.content, path)
    return msgspec.json.decode(answer.content, type=kind)
