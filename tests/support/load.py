"""Many streaming clients at once, and what became of each of them."""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import httpx2

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""One for all clients, who speak plain HTTP: each would read all certificates of the system otherwise, which
holds the loop between connecting and asking for as long as a gateway that stops waits for a request."""
End = Literal["complete", "told", "refused", "silent"]
"""`told`: an error event and [DONE] after the beginning; `silent`: the stream just ended."""


@dataclass(slots=True)
class Outcome:
    """One stream."""

    end: End
    status: int
    text: str
    code: str | None = None
    finish_reason: str | None = None


async def stream(
    client: httpx2.AsyncClient, url: str, body: dict[str, object], on_token: Callable[[], None] = lambda: None
) -> Outcome:
    """One streamed chat; never raises for what a server can do."""
    text, code, reason, done, status = "", None, None, False, 0
    try:
        async with client.stream(
            "POST", f"{url}/v1/chat/completions", json=body | {"stream": True}
        ) as answer:
            status = answer.status_code
            if status != 200:
                error = json.loads(await answer.aread())["error"]
                return Outcome("refused", status, "", error["code"])
            async for line in answer.aiter_lines():
                if line == "data: [DONE]":
                    done = True
                elif line.startswith("data:"):
                    event = json.loads(line[5:])
                    if "error" in event:
                        code = event["error"]["code"]
                        continue
                    for choice in event["choices"]:
                        reason = choice["finish_reason"] or reason
                        if content := choice["delta"].get("content"):
                            text += content
                            on_token()
    except httpx2.HTTPError as error:
        return Outcome("silent" if status else "refused", status, text, type(error).__name__)
    if code is not None and done:
        return Outcome("told", status, text, code)
    return Outcome("complete" if done and reason else "silent", status, text, code, reason)


def new_client(streams: int) -> httpx2.AsyncClient:
    """A client for so many streams at once."""
    limits = httpx2.Limits(max_connections=streams, max_keepalive_connections=streams)
    return httpx2.AsyncClient(timeout=60, trust_env=False, limits=limits, verify=NO_TLS)


async def streams(url: str, bodies: list[dict[str, object]]) -> list[Outcome]:
    """All of them at once."""
    async with new_client(len(bodies)) as client:
        return list(await asyncio.gather(*(stream(client, url, body) for body in bodies)))


def summary(outcomes: list[Outcome]) -> str:
    """Figures for a report."""
    counts = Counter(outcome.end for outcome in outcomes)
    return ", ".join(f"{counts[end]} {end}" for end in ("complete", "told", "refused", "silent"))


def incomplete(outcomes: list[Outcome]) -> dict[str, int]:
    """How many did not come to a good end, by what became of them: empty when nobody noticed anything."""
    ends = (f"{o.end} {o.status} {o.code}" for o in outcomes if o.end != "complete")
    return dict(Counter(ends))


SHORT_CHAT: dict[str, object] = {
    "model": "dolly",
    "messages": [{"role": "user", "content": "안녕하세요"}],
    "max_tokens": 40,
}


async def load_until(done: asyncio.Event, gateway: str, clients: int = 24) -> list[Outcome]:
    """Streams of so many clients, each asking again as soon as it has its answer, until `done`."""
    async with new_client(clients) as client:

        async def ask() -> list[Outcome]:
            outcomes = []
            while not done.is_set():
                outcomes.append(await stream(client, gateway, SHORT_CHAT))
            return outcomes

        return [
            outcome for each in await asyncio.gather(*(ask() for _ in range(clients))) for outcome in each
        ]
