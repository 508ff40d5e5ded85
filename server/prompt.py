"""The exact prompt that a worker makes of a conversation: rendered and counted by the engine itself."""

from typing import Any

import aiohttp

from common.errors import NotFound
from server import upstream_errors
from server.directory import Directory, Upstream

TIMEOUT = aiohttp.ClientTimeout(total=10)


async def preview_prompt(
    directory: Directory, session: aiohttp.ClientSession, model: str, messages: list[dict[str, Any]]
) -> tuple[str, int]:
    """(final prompt text, number of tokens). Raises ApiError; an external provider reveals neither."""
    upstream = directory.candidates(model)[0]
    if upstream.kind == "external":
        raise NotFound(
            f"The provider {upstream.id!r} does not reveal its final prompt.", code="prompt_unavailable"
        )
    rendered = await _post(session, upstream, "/tokenize", {"model": model, "messages": messages})
    tokens: list[int] = rendered["tokens"]
    text = await _post(session, upstream, "/detokenize", {"model": model, "tokens": tokens})
    return str(text["prompt"]), len(tokens)


async def _post(
    session: aiohttp.ClientSession, upstream: Upstream, path: str, payload: dict[str, Any]
) -> dict[str, Any]:
    key = upstream.key.get_secret_value()
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        async with session.post(
            upstream.url + path, json=payload, headers=headers, timeout=TIMEOUT
        ) as answer:
            if answer.status >= 400:
                raise upstream_errors.from_response(upstream, answer.status, await answer.read(), path)
            result: dict[str, Any] = await answer.json()
            return result
    except TimeoutError as error:
        raise upstream_errors.too_slow(upstream, TIMEOUT.total or 0) from error
    except (aiohttp.ClientError, OSError) as error:
        raise upstream_errors.unreachable(upstream) from error
