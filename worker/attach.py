"""An engine that somebody else runs: any server with an OpenAI-compatible API, watched from outside."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import httpx2

from common.address import well_formed_address
from common.engine_questions import (
    ANSWER_LIMIT_S,
    KeyRefused,
    ListedModel,
    ModelMissing,
    NotServing,
    Silent,
    check_serving,
)
from common.errors import UserError
from common.registry import WorkerLoad
from worker.health import LOOK_EVERY_S, SILENCE_LIMIT_S, read_load
from worker.load import LoadMeter

SHOWN = 10
"""Models of a server that are named when it lacks the one asked for."""


@dataclass(frozen=True, slots=True)
class AttachedEngine:
    """The engine's URL, and the key that it asks for."""

    url: str
    key: str = field(default="", repr=False)


def _client() -> httpx2.AsyncClient:
    """A client for questions to the engine; the caller closes it."""
    return httpx2.AsyncClient(timeout=ANSWER_LIMIT_S, trust_env=False)


def attached_engine(url: str, key_env: str | None) -> AttachedEngine:
    """The engine at `url` (with or without /v1), its key from the environment. Raises UserError."""
    bare = url.rstrip("/").removesuffix("/v1")
    try:
        bare = well_formed_address(bare)
    except ValueError as error:
        raise UserError(
            f"--attach {url} is not an address.", hint="It must look like http://127.0.0.1:11434."
        ) from error
    if key_env and not os.environ.get(key_env, "").strip():
        raise UserError(
            f"The environment variable {key_env} is not set.", hint="It must hold the server's key."
        )
    return AttachedEngine(bare, os.environ.get(key_env, "").strip() if key_env else "")


async def watch_attached(
    engine: AttachedEngine,
    models: Sequence[str],
    on_ready: Callable[[Mapping[str, ListedModel]], None],
    on_load: Callable[[WorkerLoad], None],
    on_down: Callable[[str], None],
) -> None:
    """Look again and again until cancelled; `on_ready` and `on_down` are called at each look."""
    meter, heard = LoadMeter(), time.monotonic()
    async with _client() as client:
        while True:
            try:
                listed = await check_serving(client, engine.url, engine.key, models)
            except Silent:
                if time.monotonic() - heard > SILENCE_LIMIT_S:
                    on_down(f"it has not answered for {SILENCE_LIMIT_S:.0f} s")
            except NotServing as problem:
                on_down(in_words(problem))
            else:
                heard = time.monotonic()
                on_ready(listed)
                if any(model.by_engine for model in listed.values()):
                    on_load(await _load(client, engine, meter))
            await asyncio.sleep(LOOK_EVERY_S)


async def _load(client: httpx2.AsyncClient, engine: AttachedEngine, meter: LoadMeter) -> WorkerLoad:
    try:
        return await read_load(client, engine.url, engine.key, meter)
    except httpx2.HTTPError:
        return WorkerLoad()


def in_words(problem: NotServing) -> str:
    """What is wrong, for the one who runs this worker."""
    if isinstance(problem, ModelMissing):
        return f"{problem}; it has: {', '.join(problem.listed[:SHOWN]) or 'none'}"
    return str(problem)


async def refuse_what_cannot_work(engine: AttachedEngine, models: Sequence[str]) -> None:
    """Raises UserError when the engine answers now and cannot serve `models`; one that is down may come."""
    async with _client() as client:
        try:
            await check_serving(client, engine.url, engine.key, models)
        except KeyRefused as refusal:
            raise UserError(
                f"The engine at {engine.url} {'refuses the key' if engine.key else 'asks for a key'}.",
                hint="Name the variable that holds its key with --key-env."
                if not engine.key
                else "The variable that --key-env names must hold the server's own key.",
            ) from refusal
        except ModelMissing as problem:
            raise UserError(
                f"The engine at {engine.url} cannot be attached: {in_words(problem)}.",
                hint="Name models as it does; `kodolly alias` gives them other names.",
            ) from problem
        except NotServing:
            return
