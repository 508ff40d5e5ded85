"""An engine that somebody else runs: any server with an OpenAI-compatible API, watched from outside."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx2

from common.errors import UserError
from common.registry import WorkerLoad
from worker.health import ANSWER_LIMIT_S, LOOK_EVERY_S, SILENCE_LIMIT_S, bearer, list_models
from worker.load import LoadMeter
from worker.settings import is_address

NO_SUCH_PAGE = (404, 405, 501)


@dataclass(frozen=True, slots=True)
class AttachedEngine:
    """Where it answers and the key it asks for."""

    url: str
    key: str = field(default="", repr=False)

    def client(self) -> httpx2.AsyncClient:
        """For questions to it; to be closed by the caller."""
        return httpx2.AsyncClient(
            base_url=self.url, timeout=ANSWER_LIMIT_S, trust_env=False, headers=bearer(self.key)
        )


def attached_engine(url: str, key_env: str | None) -> AttachedEngine:
    """The engine at `url` (with or without /v1), its key from the environment. Raises UserError."""
    bare = url.rstrip("/").removesuffix("/v1")
    if not is_address(bare):
        raise UserError(
            f"--attach {url} is not an address.", hint="It must look like http://127.0.0.1:11434."
        )
    if key_env and not os.environ.get(key_env, "").strip():
        raise UserError(
            f"The environment variable {key_env} is not set.", hint="It must hold the server's key."
        )
    return AttachedEngine(bare, os.environ.get(key_env, "").strip() if key_env else "")


class NotServing(Exception):
    """It is not there, not well, or does not have a model; the message says which."""


async def check_serving(client: httpx2.AsyncClient, models: Sequence[str]) -> None:
    """Raises NotServing, or httpx2.TimeoutException when it is too busy to answer.

    Not every server has /health (Ollama has none): then /v1/models alone must do.
    """
    try:
        health = await client.get("/health")
        if health.status_code not in (200, *NO_SUCH_PAGE):
            raise NotServing(f"its /health answers {health.status_code}")
        listed = await list_models(client)
    except httpx2.TimeoutException:
        raise
    except httpx2.HTTPStatusError as error:
        status = error.response.status_code
        refused = " (wrong key?)" if status in (401, 403) else ""
        raise NotServing(f"its /v1/models answers {status}{refused}") from error
    except httpx2.HTTPError as error:
        raise NotServing("nothing answers at its address") from error
    except ValueError as error:
        raise NotServing(str(error)) from error
    if missing := [name for name in models if name not in listed]:
        has = ", ".join(sorted(listed)[:10]) or "none"
        raise NotServing(f"it does not serve {missing[0]!r}; it has: {has}")


async def watch_attached(
    engine: AttachedEngine,
    models: Sequence[str],
    on_ready: Callable[[], None],
    on_load: Callable[[WorkerLoad], None],
    on_down: Callable[[str], None],
) -> None:
    """Look again and again until cancelled; `on_ready` and `on_down` are called at each look."""
    meter, heard = LoadMeter(), time.monotonic()
    async with engine.client() as client:
        while True:
            try:
                await check_serving(client, models)
            except NotServing as problem:
                on_down(str(problem))
            except httpx2.TimeoutException:
                if time.monotonic() - heard > SILENCE_LIMIT_S:
                    on_down(f"it has not answered for {SILENCE_LIMIT_S:.0f} s")
            else:
                heard = time.monotonic()
                on_ready()
                on_load(await _load(client, meter))
            await asyncio.sleep(LOOK_EVERY_S)


async def _load(client: httpx2.AsyncClient, meter: LoadMeter) -> WorkerLoad:
    try:
        return meter.read((await client.get("/metrics")).raise_for_status().text)
    except httpx2.HTTPError:
        return WorkerLoad()


async def refuse_wrong_names(engine: AttachedEngine, models: Sequence[str]) -> None:
    """Raises UserError when the engine answers now and cannot serve `models`; one that is down may come."""
    async with engine.client() as client:
        try:
            await list_models(client)
            await check_serving(client, models)
        except NotServing as problem:
            raise UserError(
                f"The engine at {engine.url} cannot be attached: {problem}.",
                hint="Name models as it does; `kodolly alias` gives them other names.",
            ) from problem
        except httpx2.HTTPStatusError as error:
            if error.response.status_code in (401, 403):
                raise UserError(
                    f"The engine at {engine.url} refuses the key.", hint="Name its variable with --key-env."
                ) from error
        except (httpx2.HTTPError, ValueError):
            return
